"""Names that a plugin gives what it logs: shown as they are, if they are harmless on a terminal."""

import json

import numpy as np
import pytest

NAMES = ("\x1b]0;owned\x07\x1b[2J", "a\nb: line", "=cmd|' /C calc'!A0", "\u202etset", "\x9b31m")
LOUD = """
import keras
from fitx.step import Step
from fitx.steps import register

NAMES = {names!r}

@register
class Loud(Step):
    def train_step(self, data):
        value = keras.ops.mean(self.model(data[0]))
        return {{name: value for name in NAMES}}

    def test_step(self, data):
        return self.train_step(data)
"""
EXPERIMENT = """
plugins: [loud.py]
step: loud
model: linear
optimizer: adam
data: {name: npz, path: data.npz, batch_size: 8, validation_split: 0.5}
execution: {mode: plain, threads: 2}
"""


@pytest.fixture
def loud(place):
    """An experiment whose step logs values under names that could draw on a terminal."""
    place.write("mine.yaml", EXPERIMENT)
    np.savez(place.work / "data.npz", x=np.ones((16, 2)), y=np.ones((16, 1)))
    return place.write("loud.py", LOUD.format(names=NAMES))


def test_names_cannot_draw_on_the_terminal(heavy, loud, place):
    for words in (("train", "mine.yaml"), ("evaluate", "mine"), ("checkpoints", "mine")):
        plugins = [str(loud), *map(str, place.work.glob("runs/mine/2*/source/loud.py"))]
        answer = heavy(*words, code=0, plugins=plugins)
        for character in "\x1b\x07\x9b\u202e\r":
            assert character not in answer["out"] + answer["err"]
        assert not [line for line in answer["out"].splitlines() if line.startswith("b: line")]
    (lines,) = place.work.glob("runs/mine/2*/metrics.jsonl")
    (line,) = lines.read_text().splitlines()
    assert set(NAMES) < set(json.loads(line))
    assert "\x1b" not in line
