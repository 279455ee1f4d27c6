import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from pathlib import Path
from unittest.mock import patch

import pytest

from fitx.cli._results import print_failure
from fitx.cli.main import group

FITX = Path(sys.executable).with_name("fitx")

BASE = """
step: supervised
optimizer:
  name: adam
  learning_rate: ${env:TEST_RATE:0.03}
loss: sparse_categorical_crossentropy
metrics: [sparse_categorical_accuracy]
data: {name: digits, batch_size: 256, validation_split: 0.1}
"""
RICH = """
extends: base.yaml
plugins: [narrow.py, marks.py]
model: {name: narrow, units: 8}
fit: {epochs: 9}
callbacks: [marks, {name: early_stopping, monitor: val_loss, mode: max, patience: 2, verbose: 1}]
checkpoint: {monitor: val_loss, mode: max, every: epoch}
expect: {test_loss: "> 0"}
"""
NARROW = '''
import keras
from fitx import models


@models.register
def narrow(input_shape, outputs, *, units: int = 4):
    """Return a network with one narrow layer."""
    print("the user's own words")
    inputs = keras.Input(input_shape)
    hidden = keras.layers.Dense(units, activation="relu")(keras.layers.Flatten()(inputs))
    hidden = keras.layers.Dropout(0.2)(hidden)
    return keras.Model(inputs, keras.layers.Dense(outputs, activation="softmax")(hidden))
'''
MARKS = '''
import keras
from fitx import callbacks


@callbacks.register
class Marks(keras.callbacks.Callback):
    """Leave a file for every epoch."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def on_epoch_end(self, epoch, logs=None):
        (self.folder / f"epoch-{epoch + 1}.txt").touch()
'''


WAITED = re.compile(r"^[^\n]*, (\d+m)?\d+s so far\n", re.MULTILINE)
"""Lines that a busy machine adds to the output of a command: one per 10 seconds of a stage."""


@dataclass(frozen=True)
class Done:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """The one JSON object on standard output."""
        return json.loads(self.out)


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """Return environment variables for commands, without those of this session."""
    home = tmp_path_factory.mktemp("home")
    mine = ("CI", "TERM", "KERAS_HOME", "TF_CPP_MIN_LOG_LEVEL", "TEST_RATE", "COLUMNS", "NO_COLOR")
    kept = {name: value for name, value in os.environ.items() if name not in mine}
    return {**kept, "HOME": str(home), "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(scope="session")
def fitx_command():
    """Return the installed command."""
    return [str(FITX)]


@pytest.fixture(scope="session")
def fitx(environment):
    """Run the real command in a folder until it ends."""

    def fitx(folder, *words, shell="", **options):
        command = [str(FITX), *map(str, words)]
        if shell:
            # The command is "$@" inside the text, so that a shell can redirect its streams.
            command = ["bash", "-o", "pipefail", "-c", shell, "bash", *command]
        options["env"] = {**environment, **options.get("env", {})}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        done = subprocess.run(command, cwd=folder, timeout=120, check=False, **{**pipes, **options})
        err = WAITED.sub("", (done.stderr or b"").decode())
        return Done(done.returncode, (done.stdout or b"").decode(), err)

    return fitx


@pytest.fixture(scope="session")
def launch(fitx):
    """Run the real command in the background, two at a time; `.result()` waits for it."""
    with ThreadPoolExecutor(2) as pool:
        yield lambda *words, **options: pool.submit(fitx, *words, **options)


@pytest.fixture(scope="session")
def here():
    """Run a command in this process, which saves the import of TensorFlow."""

    def here(folder, *words):
        words = [str(word) for word in words]
        out, err = (TextIOWrapper(BytesIO(), encoding="utf-8", write_through=True) for _ in "12")
        argv = patch.object(sys, "argv", ["fitx", *words])
        with chdir(folder), redirect_stdout(out), redirect_stderr(err), argv:
            try:
                code = group.main(words, standalone_mode=False)
            except BaseException as error:
                code = print_failure(error)
        return Done(code or 0, *(stream.buffer.getvalue().decode() for stream in (out, err)))

    return here


@pytest.fixture(scope="session")
def rich(tmp_path_factory):
    """Return a folder with an experiment that extends another one and has plugins."""
    folder = tmp_path_factory.mktemp("rich")
    files = {"base.yaml": BASE, "rich.yaml": RICH, "narrow.py": NARROW, "marks.py": MARKS}
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="session")
def trained(rich, fitx):
    """Return the command that trained the experiment, and its run."""
    done = fitx(rich, "train", "rich.yaml", "--json", "seed=5")
    assert done.code == 0, done.err
    return done, rich / done.json["run"]
