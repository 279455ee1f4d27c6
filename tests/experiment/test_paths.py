"""Paths of parts are relative to the file in which they are written, and saved absolute."""

from pathlib import Path

import pytest

from fitx.experiment.check import read
from fitx.experiment.checks.paths import input_files
from fitx.experiment.dump import dump

PLUGIN = """
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from fitx import Step, callbacks, datasets, models, steps

@steps.register
class Stepping(Step):
    def __init__(self, model, *, words: dict[str, Path] | None = None): ...
    def train_step(self, data): return {'a': 1}
    def test_step(self, data): return {'a': 1}

@models.register
def build(*, weights: Path | Literal['imagenet'] | None = None, more: Sequence[Path] = (),
          names: set[Path] = None, start: Path = "start.h5"): ...

@datasets.register
def load(*, path: Path, others: list[Path] | None = None, pair: tuple[Path, int] = None): ...

@callbacks.register
class Writing:
    def __init__(self, folder: Path, *, table: Path | None = None): ...
"""
TEXT = """
plugins: [~/parts.py]
step: {name: parts, words: {en: en.txt}}
model: {name: parts, weights: ../w.h5, more: [a.npy, /b.npy, ~/c.npy], names: [y, x]}
optimizer: adam
data: {name: parts, path: d.npz, others: [e.npz], pair: [f.npz, 3]}
callbacks: [{name: parts, table: t.csv}]
"""


@pytest.fixture
def folder(write, tmp_path, monkeypatch):
    """A folder of several: the home folder, one with an experiment, one to work in."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    # One file registers one part under a name.
    write("home/parts.py", PLUGIN)
    write("shared/base.yaml", TEXT)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def test_paths_of_every_part_start_at_the_file_that_holds_them(folder):
    made = read("../shared/base.yaml")
    shared, home = folder / "shared", folder / "home"
    assert made.step.options == {"words": {"en": shared / "en.txt"}}
    assert made.networks["model"].options == {
        "weights": shared / "../w.h5",
        "more": [shared / "a.npy", Path("/b.npy"), home / "c.npy"],
        "names": {shared / "x", shared / "y"},
        "start": home / "start.h5",
    }
    assert made.data.options == {
        "path": shared / "d.npz",
        "others": [shared / "e.npz"],
        "pair": (shared / "f.npz", 3),
    }
    assert made.callbacks[0].options == {"table": shared / "t.csv"}


def test_a_path_of_an_extended_file_starts_there_and_one_of_the_command_line_here(folder, write):
    write("mine/mine.yaml", "extends: ~/../shared/base.yaml\nmodel: {weights: w.h5}\n")
    made = read("../mine/mine.yaml", ["data.others=[g.npz]", "step.words.de=de.txt"])
    assert made.networks["model"].options["weights"] == folder / "mine/w.h5"
    assert made.networks["model"].options["more"][0] == folder / "shared/a.npy"
    assert made.data.options["others"] == [folder / "here/g.npz"]
    assert made.step.options["words"]["de"] == folder / "here/de.txt"


def test_what_is_saved_names_the_same_files_from_any_folder(folder, write, monkeypatch):
    monkeypatch.setenv("FITX_FILE", "w.h5")
    words = ["model.weights=${env:FITX_FILE}", "model.more=[]"]
    made = read("../shared/base.yaml", words)
    saved = write("elsewhere/saved.yaml", dump(made))
    assert f'weights: "{folder}/here/${{env:FITX_FILE}}"' in saved.read_text()
    monkeypatch.chdir("/")
    again = read(str(saved))
    assert (again.step, again.networks) == (made.step, made.networks)
    assert again.data.options.items() >= made.data.options.items()
    assert again.callbacks == made.callbacks


def test_a_fixed_word_in_the_place_of_a_path_stays_a_word(folder):
    made = read("../shared/base.yaml", ["model.weights=imagenet"])
    assert made.networks["model"].options["weights"] == "imagenet"
    assert (
        read("../shared/base.yaml", ["model.weights=null"]).networks["model"].options["weights"]
        is None
    )


def test_input_files_are_those_that_parts_read_except_the_dataset(folder):
    shared = folder / "shared"
    assert input_files(read("../shared/base.yaml")) == {
        "step.words.en": shared / "en.txt",
        "networks.model.weights": shared / "../w.h5",
        "networks.model.more.0": shared / "a.npy",
        "networks.model.more.1": Path("/b.npy"),
        "networks.model.more.2": folder / "home/c.npy",
        "networks.model.names.0": shared / "x",
        "networks.model.names.1": shared / "y",
        "networks.model.start": folder / "home/start.h5",
    }
