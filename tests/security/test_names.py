"""Names, paths, docstrings and values that would draw on a terminal are shown as escapes.

`Attempt` holds every command to that: all that it says is printable characters and ends of lines.
"""

import json
from pathlib import Path

import numpy as np
import pytest

DRAWING = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\u202etxt.\u2066\u2028[red]"
SHOWN = r"\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\u202etxt.\u2066\u2028[red]"
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
    named = ("--out", DRAWING)
    for words in (("train", "mine.yaml"), ("evaluate", "mine"), ("checkpoints", "mine")):
        plugins = [str(loud), *map(str, place.work.glob("*/mine/2*/source/loud.py"))]
        answer = heavy(*words, *named, code=0, plugins=plugins)
        assert f"{SHOWN}/mine/2" in answer["out"]
        assert not [line for line in answer["out"].splitlines() if line.startswith("b: line")]
    (lines,) = place.work.glob("*/mine/2*/metrics.jsonl")
    (line,) = lines.read_text().splitlines()
    assert set(NAMES) < set(json.loads(line))
    assert "\x1b" not in line


PLUGIN = f"""
from fitx import models

@models.register
def evil(input_shape, outputs, *, word: str = {DRAWING!r}, other: str = "{DRAWING[:5]}"):
    \'\'\'Owned {DRAWING}.

    \tMore.\rOver it.
    \'\'\'
"""


def test_a_plugin_is_looked_at_safely(light, place):
    place.write("evil.py", PLUGIN)
    said = light("show", "evil.py", code=0)["out"]
    assert f"Owned {SHOWN[:-12]}" in said.replace("\n", "")
    light("show", "evil.py", "--json", code=0)


TYPED = {
    "a command": [DRAWING],
    "an option": ["train", "digits", f"--{DRAWING}"],
    "an experiment": ["check", DRAWING],
    "an experiment to train": ["train", f"{DRAWING}.yaml"],
    "a part to show": ["show", DRAWING],
    "a part to copy": ["copy", DRAWING],
    "a kind": ["list", DRAWING],
    "a run to evaluate": ["evaluate", DRAWING],
    "a run to resume": ["resume", DRAWING],
    "a run to look at": ["checkpoints", DRAWING],
    "a word too much": ["schema", DRAWING],
    "a key": ["check", "digits", f"data.{DRAWING}=1"],
    "a value": ["check", "digits", f"name={DRAWING}"],
    "the value of an option": ["bench", "digits", "--rounds", DRAWING],
    "a plugin": ["check", "digits", f"plugins=['{DRAWING}.py']"],
}


@pytest.mark.parametrize("where", TYPED)
def test_what_was_typed_is_repeated_harmlessly(light, where):
    assert "owned" in light(*TYPED[where], code=2)["err"]


def test_what_a_variable_holds_is_repeated_harmlessly(light, place):
    place.write("mine.yaml", "{step: supervised, name: '${env:DRAWN}', data: '${env:TURNED}'}")
    turned = {"DRAWN": DRAWING, "TURNED": "\u202etxt.exe"}
    light("check", "mine.yaml", code=2, variables=turned)


def test_paths_are_told_harmlessly(light, place):
    (place.work / DRAWING).mkdir()
    for name in (f"{DRAWING}.yaml", f"{DRAWING}/two.yaml"):
        copied = light("copy", "digits", name, code=0)["out"]
        schema = Path(name).with_name("fitx.schema.json")
        expected = [f"wrote {str(path).replace(DRAWING, SHOWN)}" for path in (name, schema)]
        assert copied.splitlines() == expected
        checked = light("check", name, code=0)
        assert checked["out"] == f"{name.replace(DRAWING, SHOWN)}: no problems.\n"
    word = "callbacks=[{name: csv_logger, filename: '\u202ea'}]"
    assert r'filename: "\u202Ea"' in light("check", name, "--resolved", word, code=0)["out"]
