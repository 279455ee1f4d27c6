"""A run that starts from files goes on from any folder, and not with other files."""

import shutil

import keras
import pytest

from fitx.commands.evaluate import EvaluationRequest, evaluate
from fitx.commands.resume import resume
from fitx.errors import StorageError, UsageError
from fitx.experiment.check import read
from fitx.rundir.record import reopen
from fitx.rundir.saved_experiment import read_unimported
from fitx.training.resumption.auto_resume import newest_resumable
from fitx.training.resumption.resume_request import open_for_resume

TUNED = """
from pathlib import Path
import keras
from fitx import models

@models.register
def plugin(input_shape, outputs, *, weights: Path | None = None):
    '''Returns a linear network that starts from saved weights.'''
    network = keras.Sequential([keras.Input(input_shape), keras.layers.Dense(outputs)])
    if weights is not None:
        network.load_weights(weights)
    return network
"""
TUNING = "model={name: plugin, weights: start.weights.h5}"


@pytest.fixture
def tuned(tiny, trained, tmp_path, monkeypatch):
    """Fine-tune saved weights, which lie where the command is given; leave that folder."""
    start = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    start.set_weights([start.get_weights()[0] * 0 + 1, start.get_weights()[1]])
    start.save_weights(tmp_path / "start.weights.h5")
    monkeypatch.chdir(tmp_path)
    run, result = trained(tiny(TUNING, "fit.epochs=1", plugin=TUNED))
    assert result.metrics["test_loss"] < 0.1
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return run


def going_on(run, *words, display, allow_inexact=False):
    with open_for_resume(run.folder, words, allow_inexact=allow_inexact) as request:
        return resume(request, display)


def notes_of_evaluating(run, display):
    evaluate(read_unimported(run.folder), EvaluationRequest(run=run.folder), display)
    return display.notes


def test_a_fine_tuned_run_is_measured_and_goes_on_from_another_folder(tuned, tmp_path, recording):
    known = tuned.record["files"]["networks.model.weights"]
    assert known["bytes"] == (tmp_path / "start.weights.h5").stat().st_size
    measured = evaluate(
        read_unimported(tuned.folder), EvaluationRequest(run=tuned.folder), recording()
    )
    assert measured.metrics["loss"] == tuned.json("summary.json")["metrics"]["test_loss"]
    going_on(tuned, "fit.epochs=2", display=recording())
    assert [line["epoch"] for line in tuned.epochs] == [1, 2]
    # The same content will do wherever it lies.
    shutil.move(tmp_path / "start.weights.h5", "moved.weights.h5")
    words = ("fit.epochs=3", "model.weights=moved.weights.h5")
    going_on(tuned, *words, display=recording())
    assert notes_of_evaluating(tuned, recording()) == []
    assert tuned.record["files"]["networks.model.weights"] == known


def test_a_run_does_not_go_on_with_another_file_unless_that_is_allowed(tuned, tmp_path, recording):
    with (tmp_path / "start.weights.h5").open("ab") as file:
        file.write(b"more")
    note = (
        "networks.model.weights: the content of the file differs from the one that the run was "
        "trained with"
    )
    assert notes_of_evaluating(tuned, recording()) == [note]
    with pytest.raises(UsageError, match=r"\n  files\.networks\.model\.weights\.sha256: \w+ -> "):
        going_on(tuned, "fit.epochs=2", display=recording())
    going_on(tuned, "fit.epochs=2", display=recording(), allow_inexact=True)
    assert notes_of_evaluating(tuned, recording()) == []


def test_a_new_run_begins_where_the_newest_had_another_file(tuned, tmp_path):
    reopen(tuned.folder).update(status="interrupted")
    experiment = read(str(tmp_path / "tiny.yaml"), [TUNING.replace("start", "../start")])
    assert newest_resumable(experiment, tmp_path / "runs").run == tuned.folder.resolve()
    with (tmp_path / "start.weights.h5").open("ab") as file:
        file.write(b"more")
    choice = newest_resumable(experiment, tmp_path / "runs")
    assert choice.run is None
    assert "files.networks.model.weights.bytes" in choice.notes[0]


def test_a_run_whose_file_is_gone_says_which(tuned, tmp_path, recording):
    (tmp_path / "start.weights.h5").unlink()
    for attempt in (notes_of_evaluating, lambda run, display: going_on(run, display=display)):
        with pytest.raises(
            StorageError, match=r"^networks\.model\.weights: .* is missing, and this run"
        ):
            attempt(tuned, recording())
