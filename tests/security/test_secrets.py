"""What `${env:NAME}` stands for comes into no file of a run and into no message."""

import numpy as np
import pytest

SECRET = "tok_Zq3vXw8PfJr6LmT2-yB9dKs4HnC"
QUOTED = 'it\'s "\\tok_Zq3v" Xw8PfJr6LmT2/yB9dKs4HnC'
VARIABLES = {"FITX_SECRET": SECRET, "FITX_QUOTED": QUOTED}

EXPERIMENT = """
plugins: ["${env:FITX_SECRET}/keep.py", "${env:FITX_SECRET}/small.py"]
step: supervised
model: {name: small, token: "${env:FITX_SECRET}", other: "${env:FITX_QUOTED}"}
optimizer: adam
loss: mse
data: {name: npz, path: "${env:FITX_SECRET}/data.npz", batch_size: 8}
fit: {epochs: 1}
callbacks: [{name: keep, token: "${env:FITX_SECRET}"}]
execution: {mode: plain, threads: 2}
"""
KEEP = """
import keras
from fitx import callbacks

@callbacks.register
class Keep(keras.callbacks.Callback):
    def __init__(self, *, token: str, when: str = "never"):
        super().__init__()
        self.token, self.when = token, when

    def on_epoch_end(self, epoch, logs=None):
        if self.when == "epoch":
            raise ValueError(f"refused by the server: {self.token!r}")
"""
SMALL = """
import keras
from fitx import models

@models.register
def small(input_shape, outputs, *, token: str, other: str, fails: bool = False):
    '''Return a small network.'''
    if fails:
        raise OSError(f"cannot log in with {token} and {other!r}")
    inputs = keras.Input(input_shape)
    return keras.Model(inputs, keras.layers.Dense(1)(inputs))
"""


@pytest.fixture
def secretive(heavy_process, place):
    """Run commands that know the secrets; return all they said and all files they left."""
    folder = f"{SECRET}/"
    place.write(f"{folder}keep.py", KEEP)
    place.write(f"{folder}small.py", SMALL)
    np.savez(place.work / folder / "data.npz", x=np.ones((16, 2)), y=np.ones((16, 1)))
    place.write("mine.yaml", EXPERIMENT)

    def run(*words, code):
        answer = heavy_process.ask(folder=place.work, words=words, variables=VARIABLES)
        assert answer["code"] == code, answer["err"]
        said = answer["out"] + answer["err"]
        left = {file: file.read_bytes() for file in place.work.glob("runs/**/*") if file.is_file()}
        refuse_pieces(said.encode())
        for file, content in left.items():
            refuse_pieces(content + str(file.relative_to(place.work)).encode())
        return said, left

    return run


def refuse_pieces(text):
    for secret in (SECRET, QUOTED, repr(QUOTED)):
        pieces = {secret[start : start + 10].encode() for start in range(len(secret) - 9)}
        assert not [piece for piece in pieces if piece in text]


def test_a_run_that_succeeds_keeps_no_secret(secretive):
    said, left = secretive("train", "mine.yaml", "--verbose", code=0)
    (experiment,) = (content for file, content in left.items() if file.name == "experiment.yaml")
    assert experiment.count(b"${env:FITX_SECRET}") == 3
    assert {"run.json", "model.keras", "state.npz", "metrics.jsonl"} <= {f.name for f in left}
    secretive("evaluate", "mine", code=0)
    secretive("evaluate", "mine", "--json", code=0)
    secretive("check", "mine.yaml", "--resolved", code=0)
    secretive("check", "mine.yaml", "--json", code=0)
    secretive("checkpoints", "mine", code=0)


LOGGER = "{name: csv_logger, filename: log.csv, separator: '${env:FITX_QUOTED}'}"
LAYER = "{name: dense, units: 1, dtype: '${env:FITX_SECRET}'}"
FAILURES = {
    "a file that is not there": ("data.path=${env:FITX_SECRET}/no.npz", 3),
    "a file that is no data": ("data.path=${env:FITX_SECRET}/keep.py", 3),
    "a plugin that is not there": ("plugins+=${env:FITX_SECRET}/no.py", 2),
    "a model that fails": ("model.fails=true", 1),
    "a callback that fails": ("callbacks.0.when=epoch", 1),
    "a separator": (f"callbacks+={LOGGER}", 2),
    "a layer": (f"model={{name: sequential, layers: [{LAYER}]}}", 2),
    "an option that there is not": ("data.${env:FITX_SECRET}=1", 2),
}


@pytest.mark.parametrize(
    "option", [(), ("--verbose",), ("--json",)], ids=["plain", "verbose", "json"]
)
@pytest.mark.parametrize("name", FAILURES)
def test_no_failure_tells_a_secret(secretive, name, option):
    word, code = FAILURES[name]
    said, left = secretive("train", "mine.yaml", word, *option, code=code)
    assert ("Traceback" in said) is (option == ("--verbose",))
    records = [content for file, content in left.items() if file.name == "run.json"]
    if name == "a callback that fails":
        assert b"refused by the server: '${env:FITX_SECRET}'" in records[0]


def test_a_secret_in_what_a_plugin_says_of_its_failure_is_told_by_its_name(secretive):
    said, _ = secretive("train", "mine.yaml", "model.fails=true", code=1)
    assert "cannot log in with ${env:FITX_SECRET} and " in said
    assert "${env:FITX_QUOTED}" in said
