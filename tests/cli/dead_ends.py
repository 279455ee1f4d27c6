"""Runs plugins of a few lines through the command line, in this process."""

import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

from fitx.cli._results import print_failure
from fitx.cli.main import group

HEAD = """\
import keras
import tensorflow as tf
from fitx import Step, callbacks, datasets, models, steps


"""
ONE = """
plugins: [own.py]
step: own
model: linear
optimizer: {name: sgd, learning_rate: 0.1}
data: {name: random, rows: 24, features: 3, batch_size: 8}
"""
PAIR = """
plugins: [own.py]
step: own
networks: {front: {name: linear, outputs: 3}, back: linear}
optimizers: {front: sgd, back: sgd}
data: {name: random, rows: 24, features: 3, batch_size: 8}
"""


@dataclass(frozen=True)
class Answer:
    """The output and the exit code of a command."""

    code: int
    out: str
    err: str


class Shell:
    """A folder with `own.py` and `own.yaml`, in which commands run."""

    def __init__(self, folder, monkeypatch, capfd):
        self.folder, self._monkeypatch, self._capfd = folder, monkeypatch, capfd
        monkeypatch.chdir(folder)

    def write(self, plugin, experiment=ONE):
        Path("own.py").write_text(HEAD + textwrap.dedent(plugin).lstrip("\n"))
        Path("own.yaml").write_text(experiment)

    def fitx(self, *words):
        """Run a command in this process, and handle its errors as `fitx` does."""
        self._monkeypatch.setattr(sys, "argv", ["fitx", *words])
        self._capfd.readouterr()
        try:
            code = group.main(list(words), standalone_mode=False)
        except BaseException as error:
            code = print_failure(error)
        return Answer(code if isinstance(code, int) else 0, *self._capfd.readouterr())

    @property
    def runs(self):
        return list(Path("runs").glob("*/2*"))


def step(body, head="@steps.register\nclass Own(Step):"):
    """Return the source of a step with a body."""
    return f"{head}\n{textwrap.indent(textwrap.dedent(body).strip(), '    ')}\n"
