"""What a run leaves and which run is the newest do not depend on the clock of the machine."""

import json
import time
import zipfile

import keras
import pytest

from .dead_ends import Shell

EXPERIMENT = """
step: supervised
model: linear
optimizer: sgd
loss: mse
data: {name: random, rows: 24, features: 3, batch_size: 8}
fit: {epochs: 2}
plugins: [own.py]
callbacks: [own]
"""
PLUGIN = """
@callbacks.register
class Own(keras.callbacks.Callback):
    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def on_epoch_end(self, epoch, logs=None):
        self.model.networks["model"].save(self.folder / "own.keras")
"""
DAY = 86400
YEAR = 365 * DAY


@pytest.fixture
def shell(tmp_path, monkeypatch, capfd):
    shell = Shell(tmp_path, monkeypatch, capfd)
    shell.write(PLUGIN, EXPERIMENT)
    return shell


@pytest.fixture
def set_clock(monkeypatch):
    """Return a function that moves the time of day some seconds ahead."""
    real = time.time

    def set_clock(ahead):
        monkeypatch.setattr(time, "time", lambda: real() + ahead)

    return set_clock


@pytest.mark.parametrize("year", [1970, 2200])
def test_networks_are_written_in_a_year_that_zip_files_cannot_hold(shell, set_clock, year):
    set_clock((year - 1970) * YEAR + 60 * DAY - time.time())
    done = shell.fitx("train", "own.yaml", "-q", "--json")

    assert done.code == 0, done.err
    networks = [*(shell.folder / json.loads(done.out)["run"]).rglob("*.keras")]
    assert {path.name for path in networks} == {"model.keras", "own.keras"}
    for path in networks:
        assert keras.saving.load_model(path, compile=False).count_params() == 4
    with pytest.raises(ValueError, match="1980"):
        zipfile.ZipInfo("of others", (1970, 1, 1, 0, 0, 0))


def test_after_the_clock_was_set_back_the_same_run_is_the_newest_to_every_command(shell, set_clock):
    begun = []
    for ahead in (YEAR, 0, -YEAR):
        set_clock(ahead)
        stopped = shell.fitx("train", "own.yaml", "-q", "--stop-after", "2", "--json")
        assert stopped.code == 143, stopped.err
        begun.append(json.loads(stopped.out)["run"])

    finished = [
        json.loads(shell.fitx("train", "own.yaml", "--resume", "auto", "-q", "--json").out)["run"]
        for _ in begun
    ]

    assert finished == begun[::-1]
    for command in ("evaluate", "resume"):
        done = shell.fitx(command, "own", "-q", "--json")
        assert json.loads(done.out)["run"] == begun[-1], done.err
