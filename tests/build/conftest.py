import json
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest

from fitx.cli.display import NoDisplay
from fitx.commands.train import train
from fitx.experiment.check import read
from fitx.training.train_request import TrainRequest

DEFAULT = """
step: supervised
model: linear
optimizer: sgd
loss: mse
data: {name: random, rows: 20, features: 3, batch_size: 8}
"""


class Run:
    """One finished run, as its folder tells it."""

    def __init__(self, folder, result):
        self.folder, self.result = folder, result
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        self.rows = [json.loads(line) for line in lines]

    def column(self, name):
        return [row.get(name) for row in self.rows]

    def network(self, name="model"):
        return keras.saving.load_model(self.folder / "networks" / f"{name}.keras", compile=False)


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Write files into the working folder and read the experiment, `DEFAULT` changed by words."""
    monkeypatch.chdir(tmp_path)

    def written(*words, text=DEFAULT, **plugins):
        for name, source in plugins.items():
            Path(f"{name}.py").write_text(textwrap.dedent(source).lstrip("\n"))
        names = [f"{name}.py" for name in plugins]
        Path("exp.yaml").write_text(textwrap.dedent(text).lstrip("\n"))
        return read("exp.yaml", [*([f"plugins=[{', '.join(names)}]"] if names else []), *words])

    return written


@pytest.fixture
def trained(written):
    """Train what `written` writes, and return the run."""

    def trained(*words, **keywords):
        experiment = written(*words, **keywords)
        runs = Path(f"runs{len(list(Path().glob('runs*')))}")
        result = train(experiment, TrainRequest(runs), NoDisplay())
        return Run(next(path for path in runs.glob("*/*") if path.is_dir()), result)

    return trained


@pytest.fixture
def arrays():
    """Write arrays into `data.npz` and return the word that names them."""

    def arrays(**named):
        np.savez("data.npz", **named)
        return "data={name: npz, path: data.npz, batch_size: 8}"

    return arrays
