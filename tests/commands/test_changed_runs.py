"""A run that goes on with changes: every step runs and counts once, and nothing stale is left."""

import json
import os
import shutil
import signal
from dataclasses import replace

import pytest

from fitx import checkpoint
from fitx.cli.display import NoDisplay
from fitx.commands.resume import resume
from fitx.commands.train import train
from fitx.errors import Interrupted, StorageError, UsageError
from fitx.rundir.record import reopen
from fitx.training.resumption.resume_request import finished_result, open_for_resume
from fitx.training.train_request import TrainRequest

LOSS = "{name: early_stopping, monitor: loss, patience: 9, min_delta: 0.1}"
MAE = "{name: early_stopping, monitor: mae, patience: 9, min_delta: 0.1}"
VALIDATION = "{name: early_stopping, monitor: val_loss, patience: 9, min_delta: 0.1}"

OTHERWISE_SPELLED = "{name: EarlyStopping, patience: 9, min_delta: 1.0e-1, mode: auto}"


class Notes(NoDisplay):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


@pytest.fixture
def stopped(tiny, tmp_path):
    """Train with five steps an epoch, and stop after so many steps; return the run."""

    def stopped(step, *words):
        with pytest.raises(Interrupted):
            train(tiny(*words), TrainRequest(tmp_path / "runs", stop_after=step), NoDisplay())
        return (tmp_path / "runs/tiny/latest").resolve()

    return stopped


def going_on(run, *words, allow_inexact=False):
    display = Notes()
    with open_for_resume(run, words, allow_inexact=allow_inexact) as request:
        resume(request, display)
    return display.notes


def steps(run):
    """Return how many steps each epoch ended with, and how many the optimizer took in all."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    state = checkpoint.newest(run / "checkpoints").state
    (taken,) = (int(v) for k, v in state.items() if k.endswith("adam/iteration"))
    return [json.loads(line)["step"] for line in lines], taken


@pytest.mark.parametrize(
    ("mode", "stop", "word", "expected"),
    [
        ("plain", 9, "fit.steps_per_epoch=2", [5, 9, 11]),
        ("fused", 9, "fit.steps_per_epoch=2", [5, 9, 11]),
        ("fused", 7, "fit.steps_per_epoch=3", [5, 8, 11]),
        ("plain", 7, "fit.steps_per_epoch=6", [5, 11, 17]),
        # Two steps of 8 rows are one of 16: two more are left of the epoch's three.
        ("fused", 7, "data.batch_size=16", [5, 9, 12]),
        ("plain", 9, "data.batch_size=64", [5, 10, 11]),
        # Three steps of 8 rows are six of 4: four more are left of the epoch's ten.
        ("plain", 3, "data.batch_size=4", [7, 17, 27]),
        ("fused", 3, "data.batch_size=4", [7, 17, 27]),
    ],
)
def test_an_epoch_of_another_length_leaves_no_step_out(stopped, mode, stop, word, expected):
    run = stopped(stop, f"execution.mode={mode}")
    going_on(run, word, allow_inexact=True)
    assert steps(run) == (expected, expected[-1])


@pytest.mark.parametrize(("stop", "rows", "again"), [(7, 16, 10), (3, 4, 5)])
def test_an_epoch_of_another_length_is_as_exact_as_any_once_it_goes_on(stopped, stop, rows, again):
    runs = []
    for cut in (None, again):
        run = stopped(stop, "execution.mode=plain")
        if cut:
            with (
                pytest.raises(Interrupted),
                open_for_resume(run, [f"data.batch_size={rows}"], allow_inexact=True) as request,
            ):
                resume(replace(request, stop_after=cut), NoDisplay())
            going_on(run)
        else:
            going_on(run, f"data.batch_size={rows}", allow_inexact=True)
        runs.append(checkpoint.newest(run / "checkpoints").state)
    straight, interrupted = runs
    assert straight.keys() == interrupted.keys()
    assert not [k for k in straight if straight[k].tobytes() != interrupted[k].tobytes()]


def test_the_record_says_what_the_run_is_from_now_on(stopped):
    run = stopped(7)
    going_on(run, "name=renamed", "seed=8", allow_inexact=True)
    facts = json.loads((run / "run.json").read_text())
    assert (facts["name"], facts["seed"]) == ("renamed", 8)


def test_another_gpu_is_refused_and_allowed_by_name(stopped):
    run = stopped(7)
    reopen(run).update(accelerator="A GPU")
    with pytest.raises(UsageError, match="accelerator: A GPU -> null"):
        going_on(run)
    going_on(run, allow_inexact=True)
    assert json.loads((run / "run.json").read_text())["accelerator"] is None


def remembered(run):
    """Return what each early stopping of the newest checkpoint remembers, by its monitor."""
    newest = checkpoint.newest(run / "checkpoints")
    found = {}
    for name, state in newest.meta["callbacks"].items():
        best = state["best"]
        if isinstance(best, dict):
            best = float(newest.state[f"callbacks/{best['$array']}"])
        monitor = json.loads(newest.meta["callback_options"][name])["monitor"]
        found[monitor] = pytest.approx(best), state["wait"]
    return found


@pytest.mark.parametrize(
    ("now", "waited"),
    [
        ((VALIDATION, LOSS), {"loss": 1, "val_loss": 1}),
        ((VALIDATION,), {"val_loss": 1}),
        ((LOSS, OTHERWISE_SPELLED), {"loss": 1, "val_loss": 1}),
        ((LOSS, VALIDATION.replace("patience: 9", "patience: 8")), {"loss": 1, "val_loss": 0}),
        ((LOSS.replace("monitor: loss", "monitor: mae"), VALIDATION), {"mae": 0, "val_loss": 1}),
        ((MAE, LOSS, VALIDATION), {"mae": 0, "loss": 1, "val_loss": 1}),
    ],
)
def test_callbacks_are_known_again_by_name_and_options(stopped, now, waited):
    run = stopped(6, f"callbacks=[{LOSS}, {VALIDATION}]", "optimizer.learning_rate=0.0")
    line = json.loads((run / "metrics.jsonl").read_text())
    notes = going_on(run, f"callbacks=[{', '.join(now)}]", "fit.epochs=2")
    assert remembered(run) == {name: (line[name], wait) for name, wait in waited.items()}
    anew = [text.partition(":")[0] for text in notes if "it is reset" in text]
    new = [index for index, wait in enumerate(waited.values()) if not wait]
    assert anew == [f"callbacks.{index} (EarlyStopping)" for index in new]


def test_a_callback_that_watches_what_the_environment_names_is_known_by_that(stopped, monkeypatch):
    monkeypatch.setenv("WATCHED", "loss")
    callback = LOSS.replace("monitor: loss", "monitor: '${env:WATCHED}'")
    run = stopped(6, f"callbacks=[{callback}]")
    monkeypatch.setenv("WATCHED", "mae")
    notes = going_on(run)
    assert "callbacks.0 (EarlyStopping): it is reset" in " ".join(notes)
    assert list(remembered(run)) == ["mae"]


def test_a_log_goes_on_where_the_checkpoint_was_with_another_separator_too(tiny, tmp_path):
    logger = "{name: csv_logger, filename: log.csv}"
    words = (f"callbacks=[{logger}]", "checkpoint.every=epoch", "checkpoint.keep=9")
    train(tiny(*words), TrainRequest(tmp_path), NoDisplay())
    run = (tmp_path / "tiny/latest").resolve()
    for later in sorted((run / "checkpoints").iterdir())[1:]:
        shutil.rmtree(later)
    going_on(run, f"callbacks=[{logger.replace('}', ', separator: ;}')}]")
    rows = (run / "log.csv").read_text().replace(";", ",").splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "0", "1", "2"]


def test_a_best_epoch_by_the_other_direction_is_forgotten(stopped):
    run = stopped(11, "fit.epochs=3")
    going_on(run, "checkpoint.mode=max")
    values = [
        json.loads(line)["val_loss"] for line in (run / "metrics.jsonl").read_text().splitlines()
    ]
    assert json.loads((run / "run.json").read_text())["best"] == {
        **{"monitor": "val_loss", "mode": "max"},
        **{"epoch": 3, "value": pytest.approx(values[2])},
    }


def test_a_rate_from_the_environment_counts_after_a_stop_without_a_checkpoint(
    stopped, recording, monkeypatch
):
    def trained(*, with_stop):
        monkeypatch.setenv("RATE", "0.01")
        run = stopped(7, "optimizer.learning_rate=${env:RATE}")
        monkeypatch.setenv("RATE", "0.5")
        if with_stop:
            before = list((run / "checkpoints").iterdir())
            with (
                pytest.raises(Interrupted),
                open_for_resume(run, [], allow_inexact=True) as request,
            ):
                resume(request, recording("begin", lambda: os.kill(os.getpid(), signal.SIGTERM)))
            assert list((run / "checkpoints").iterdir()) == before
        going_on(run, allow_inexact=not with_stop)
        return checkpoint.newest(run / "checkpoints").state

    straight, stopped_first = trained(with_stop=False), trained(with_stop=True)
    assert straight.keys() == stopped_first.keys()
    assert not [k for k in straight if straight[k].tobytes() != stopped_first[k].tobytes()]
    assert [float(v) for k, v in straight.items() if k.endswith("adam/learning_rate")] == [0.5]


@pytest.mark.parametrize(
    "judged",
    [[], [{"name": "mae", "expected": "< 9", "found": 0.1, "met": True}]],
)
def test_a_summary_that_does_not_judge_what_the_experiment_expects_is_damaged(
    tiny, tmp_path, judged
):
    train(tiny("expect.loss=< 99"), TrainRequest(tmp_path), NoDisplay())
    run = (tmp_path / "tiny/latest").resolve()
    assert finished_result(run).metrics["loss"] < 99
    facts = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps({**facts, "expect": judged}))
    with pytest.raises(StorageError, match="summary.json is damaged: expect: "):
        finished_result(run)


def test_networks_of_a_best_epoch_that_is_no_longer_kept_are_removed(stopped):
    run = stopped(7)
    going_on(run)
    assert (run / "networks/best/model.keras").exists()
    going_on(run, "fit.epochs=4", "~checkpoint.monitor")
    assert json.loads((run / "run.json").read_text())["best"] is None
    assert not (run / "networks/best").exists()
