from pathlib import Path

import pytest

from fitx.errors import UsageError
from fitx.experiment.check import read
from fitx.experiment.checks.callback_files import (
    OUTPUT_OPTIONS,
    OWN_FILES,
    refuse_elsewhere,
    written_below,
)
from fitx.experiment.problems import ConfigError
from fitx.registry import keras_parts
from fitx.registry.kinds import Part
from fitx.registry.part_index import PartIndex
from fitx.rundir import folder, lock, saved_experiment

TEXT = """
step: supervised
model: linear
optimizer: adam
loss: mse
data: {name: random, rows: 20, features: 2}
callbacks: [early_stopping, {name: csv_logger, filename: FILE}]
"""


@pytest.fixture
def experiment(tmp_path):
    def experiment(file, *words):
        path = tmp_path / "exp.yaml"
        path.write_text(TEXT.replace("FILE", str(file)).replace("early_stopping", STOPPING))
        return read(str(path), words)

    return experiment


STOPPING = "{name: early_stopping, monitor: loss}"


def test_relative_paths_of_callbacks_start_at_the_folder_of_the_run():
    part = Part("callback", "csv_logger", {"filename": "a/b.csv", "append": True})
    placed = written_below(part, Path("/runs/one"))
    assert placed.options == {"filename": "/runs/one/a/b.csv", "append": True}


def test_tensorboard_writes_into_the_run_by_default():
    part = Part("callback", "tensorboard", {})
    assert written_below(part, Path("/runs/one")).options == {"log_dir": "/runs/one/logs"}


def test_a_plugin_writes_where_it_says():
    part = Part("callback", "my_table", {"filename": "table.csv"})
    assert written_below(part, Path("/runs/one")).options == {"filename": "table.csv"}


def test_absolute_paths_stay():
    part = Part("callback", "tensorboard", {"log_dir": "/logs"})
    assert written_below(part, Path("/runs/one")).options == {"log_dir": "/logs"}


def test_a_run_that_is_resumed_writes_into_its_own_folder(experiment, tmp_path):
    refuse_elsewhere(experiment("table.csv"), tmp_path / "run")


@pytest.mark.parametrize("file", ["/tmp/elsewhere.csv", "link/table.csv"])
def test_a_run_that_is_resumed_writes_nowhere_else(experiment, tmp_path, file):
    run = tmp_path / "run"
    run.mkdir()
    (run / "link").symlink_to(tmp_path)
    with pytest.raises(UsageError) as error:
        refuse_elsewhere(experiment(file), run)
    assert str(error.value) == (
        f"callbacks.1.filename: {run / file} lies outside of the run; a resumed run writes to "
        "its folder only. To use the experiment file instead: "
        f"`fitx train FILE --resume {run}`."
    )


@pytest.mark.parametrize(
    "name",
    [
        *("experiment.yaml", "metrics.jsonl", "run.json", "summary.json", "./run.lock"),
        *("networks/model.keras", "checkpoints/x.csv", "source/x.csv", "Networks/x.csv"),
        *("../x.csv", "a/../../x.csv", "a/", "."),
    ],
)
@pytest.mark.parametrize(
    "callback", ["{name: csv_logger, filename: %s}", "{name: CSVLogger, filename: %s}"]
)
def test_no_callback_writes_over_a_run_s_own_files_or_above_its_folder(experiment, name, callback):
    with pytest.raises(ConfigError, match=r"callbacks\.1\.filename: '"):
        experiment("t.csv", f"callbacks.1={{name: CSVLogger, filename: {name}}}")


def test_tensorboard_does_not_write_over_files_of_the_run(experiment):
    for name in ("networks", "checkpoints/logs", "../logs"):
        with pytest.raises(ConfigError, match=r"callbacks\.1\.log_dir"):
            experiment("t.csv", f"callbacks.1={{name: tensorboard, log_dir: {name}}}")
    for name in ("logs", "samples/logs", "networks-1", "/logs", "~/logs"):
        experiment("t.csv", f"callbacks.1={{name: tensorboard, log_dir: {name}}}")


def test_two_callbacks_write_two_files(experiment):
    with pytest.raises(ConfigError, match="callbacks.1.filename writes to the same path"):
        experiment("a/t.csv", "callbacks+={name: csv_logger, filename: a/./t.csv}")


def test_everything_that_fitx_keeps_in_a_run_is_its_own(tmp_path):
    folders = {*folder.SUBFOLDERS} - {"samples"}
    files = {folder.RECORD, saved_experiment.EXPERIMENT, lock.NAME, "metrics.jsonl", "summary.json"}
    assert {*OWN_FILES} == folders | files


def test_every_callback_of_keras_that_writes_is_known_or_refused():
    words = {"filename", "filepath", "log_dir", "backup_dir", "directory", "path"}
    for cls in keras_parts.classes("callback"):
        taken = {p.name for p in PartIndex().signature("callback", cls).parameters}
        assert taken & words == OUTPUT_OPTIONS.get(cls, {}).keys(), cls
