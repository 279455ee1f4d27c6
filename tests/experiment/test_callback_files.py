from pathlib import Path

import pytest

from fitx.errors import UsageError
from fitx.experiment.callback_files import refuse_elsewhere, written_below
from fitx.experiment.check import read
from fitx.registry.kinds import Part

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
    def experiment(file):
        path = tmp_path / "exp.yaml"
        path.write_text(TEXT.replace("FILE", str(file)).replace("early_stopping", STOPPING))
        return read(str(path))

    return experiment


STOPPING = "{name: early_stopping, monitor: loss}"


def test_relative_paths_of_callbacks_start_at_the_folder_of_the_run():
    part = Part("callback", "csv_logger", {"filename": "a/b.csv", "append": True})
    placed = written_below(part, Path("/runs/one"))
    assert placed.options == {"filename": "/runs/one/a/b.csv", "append": True}


def test_logs_of_tensorboard_lie_in_the_run_though_nobody_said_where():
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


@pytest.mark.parametrize("file", ["../above.csv", "/tmp/elsewhere.csv", "link/table.csv"])
def test_a_run_that_is_resumed_writes_nowhere_else(experiment, tmp_path, file):
    run = tmp_path / "run"
    run.mkdir()
    (run / "link").symlink_to(tmp_path)
    with pytest.raises(UsageError) as error:
        refuse_elsewhere(experiment(file), run)
    assert str(error.value) == (
        f"callbacks.1.filename: {run / file} lies outside of the run; a run that is resumed writes "
        f"into its own folder only. `fitx train FILE --resume {run}` goes on with your own file."
    )
