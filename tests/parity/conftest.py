import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import pytest

from fitx.cli.display import NoDisplay
from fitx.commands.train import train
from fitx.experiment.check import read
from fitx.training.train_request import TrainRequest

PROGRAMS = Path(__file__).parent / "programs"


class Run:
    """One finished run, as its folder tells it."""

    def __init__(self, folder):
        self.folder = folder
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        self.rows = [json.loads(line) for line in lines]

    def values(self, *names):
        """The logged values of every epoch, in one flat list."""
        return [row[name] for row in self.rows for name in names]

    def network(self, name="model"):
        return keras.saving.load_model(self.folder / "networks" / f"{name}.keras", compile=False)


@pytest.fixture(scope="session")
def guide():
    """The guide's own programs, for stock Keras."""
    return _module("tests_parity_guide", Path(__file__).parent / "guide.py")


@pytest.fixture(scope="session")
def guide_2020(tmp_path_factory):
    """The classes of the text of 2020, under tf_keras; there they all have one name."""
    folder = tmp_path_factory.mktemp("guide_2020")
    names = {"Simple": "simple", "LowLevel": "low_level", "Weighted": "weighted"}
    classes = {}
    for name, program in {**names, "Evaluation": "evaluation"}.items():
        text = (PROGRAMS / f"{program}.py").read_text()
        path = folder / f"{program}.py"
        path.write_text(text.replace("from tensorflow import keras", "import tf_keras as keras"))
        classes[name] = _module(f"tests_parity_{program}", path).CustomModel
    return SimpleNamespace(**classes)


@pytest.fixture
def run(tmp_path):
    """Train an experiment in the order in which the data lies, and return its run."""

    def run(name, *words):
        out = tmp_path / f"runs{len(list(tmp_path.glob('runs*')))}"
        experiment = read(str(name), ["data.shuffle=false", *words])
        train(experiment, TrainRequest(out), NoDisplay())
        return Run(next(path for path in out.glob("*/*") if path.is_dir()))

    return run


@pytest.fixture
def untrained(run):
    """Return the networks of an experiment as its seed makes them."""

    def untrained(name, *words):
        return run(name, *words, "fit.epochs=0")

    return untrained


def _module(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
