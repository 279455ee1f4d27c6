import json
import math
import os
import signal
import threading
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from fitx import checkpoint
from fitx.checkpoint.state_names import BEST, part
from fitx.errors import DataError, Diverged, Interrupted, StorageError, UserCodeError
from fitx.experiment.problems import ConfigError
from fitx.rundir.files import write_json

CALLBACK = """
import keras
from fitx import callbacks

@callbacks.register
class Plugin(keras.callbacks.Callback):
    '''Misbehaves.'''
    def {hook}(self, *_, **__):
        {body}
"""
STEP = """
from fitx import Step, steps

@steps.register
class Plugin(Step):
    '''Raises as soon as it is traced.'''
    def train_step(self, data):
        raise KeyError("of the user")
"""
RAISES = "raise KeyError('of the user')"


def send(number):
    return lambda: os.kill(os.getpid(), number)


def full_disk(*_):
    raise OSError(28, "No space left on device")


def test_a_run_is_shown_from_beginning_to_end(tiny, trained, recording):
    display = recording()
    run, _ = trained(tiny("fit.epochs=2"), display)
    epoch = [f"step {n}" for n in range(1, 6)] + ["evaluated 1/2", "evaluated 2/2"]
    epochs = ["epoch 1", *epoch, "end of epoch 1", "epoch 2", *epoch, "end of epoch 2"]
    test = [f"evaluated {n}/3" for n in range(1, 4)]
    assert display.told == ["begin", *epochs, *test, "end"]
    assert (display.plan.title, display.plan.epochs, display.plan.steps) == ("tiny", 2, 5)
    summary = "supervised: model sequential, 19 parameters; adam; 40 examples, 5 steps an epoch"
    assert display.plan.summary == summary
    assert display.plan.run == str(run.folder)


def test_an_epoch_logs_what_the_step_returns_and_validates_in_that_order(tiny, trained):
    run, result = trained(tiny())
    names = ["loss", "mae", "val_loss", "val_mae"]
    assert [list(line) for line in run.epochs] == [["epoch", "step", "seconds", *names]] * 3
    assert [(line["epoch"], line["step"]) for line in run.epochs] == [(1, 5), (2, 10), (3, 15)]
    assert list(result.metrics) == [*names, "test_loss", "test_mae"]
    assert all(result.metrics[name] == run.epochs[-1][name] for name in names)


def test_the_best_epoch_and_the_last_checkpoint_are_named_and_loadable(tiny, trained):
    run, _ = trained(tiny("optimizer.learning_rate=0.3", "fit.epochs=6"))
    best = min(run.epochs, key=lambda line: line["val_loss"])
    expected = {"monitor": "val_loss", "mode": "min"}
    expected |= {"epoch": best["epoch"], "value": best["val_loss"]}
    assert run.record["best"] == run.json("summary.json")["best"] == expected
    state, meta = checkpoint.load(run.folder / "checkpoints" / run.record["last"])
    assert {key: meta[key] for key in ("epoch", "step", "phase", "best")} == {
        "epoch": 6,
        "step": 30,
        "phase": "between",
        "best": expected,
    }
    assert meta["journal_bytes"] == (run.folder / "metrics.jsonl").stat().st_size
    assert part(state, BEST)
    assert best["epoch"] < 6
    assert_same_network(run.folder / "networks/best/model.keras", part(state, BEST))
    assert_same_network(run.folder / "networks/model.keras", state)


def assert_same_network(file, state):
    network = keras.saving.load_model(file)
    assert len(network.variables) == 4
    for variable in network.variables:
        name = f"networks/model/sequential/{variable.path}"
        assert np.array_equal(state[name], variable.numpy())


def test_early_stopping_ends_a_run_well_and_is_noted(tiny, trained, recording):
    display = recording()
    stopping = "callbacks=[{name: early_stopping, monitor: loss, mode: max, patience: 1}]"
    run, result = trained(tiny(stopping, "fit.epochs=9"), display)
    assert run.record["status"] == "finished"
    assert result.details["epochs"] == 2
    assert display.notes == ["stopped early: a callback ended the run after epoch 2"]


def test_untrained_networks_are_those_that_training_starts_from(tiny, trained):
    run, result = trained(tiny("fit.epochs=0"))
    assert run.epochs == []
    assert run.json("summary.json")["steps"] == 0
    assert result.details["examples_per_second"] is None
    assert set(result.metrics) == {"test_loss", "test_mae"}
    idle, _ = trained(tiny("fit.epochs=1", "optimizer={name: sgd, learning_rate: 0}"))
    state, _ = checkpoint.load(idle.folder / "checkpoints" / idle.record["last"])
    assert_same_network(run.folder / "networks/model.keras", state)
    assert run.record["last"] == "000000"


def test_untrained_networks_are_not_held_to_what_is_expected(tiny, trained):
    _, result = trained(tiny("fit.epochs=0", "expect={val_loss: '< 0'}"))
    assert result.details["expect"] == []


def test_networks_without_an_optimizer_can_be_written_untrained(tiny, trained):
    run, _ = trained(tiny("fit.epochs=0", "~optimizer", "~checkpoint"))
    assert (run.folder / "networks/model.keras").is_file()


def test_nothing_is_trained_without_an_optimizer(tiny, trained):
    run, error = trained(tiny("~optimizer", "~checkpoint"))
    assert run is None
    assert isinstance(error, ConfigError)
    assert "optimizer: missing; a network without an optimizer is frozen" in str(error)


def test_a_smoke_run_takes_two_steps_of_everything_in_a_folder_of_its_own(
    tiny, trained, recording, tmp_path
):
    first, _ = trained(tiny())
    display = recording()
    run, result = trained(tiny("expect={loss: '< 0'}"), display, smoke=True)
    assert [t for t in display.told if t.startswith(("step", "evaluated"))] == [
        "step 1",
        "step 2",
        "evaluated 1/2",
        "evaluated 2/2",
        "evaluated 1/2",
        "evaluated 2/2",
    ]
    assert (result.details["epochs"], result.details["steps"]) == (1, 2)
    assert result.details["expect"] == []
    assert run.folder.parent.name == "tiny-smoke"
    assert (tmp_path / "runs/tiny/latest").resolve() == first.folder.resolve()


EVENTS = """
import keras
from fitx import callbacks


@callbacks.register
class Plugin(keras.callbacks.TensorBoard):
    stateless = True

    def __init__(self, folder):
        super().__init__(log_dir=str(folder))
        self.folder = folder

    def set_model(self, model):
        # What it writes itself needs a package that tests do without.
        self._model = model
        (self.folder / "events.out.tfevents.1").touch()


def nothing(self, *_, **__):
    pass


for name in dir(keras.callbacks.Callback):
    if name.startswith("on_"):
        setattr(Plugin, name, nothing)
"""


def test_the_events_of_tensorboard_lie_below_the_runs_once(tiny, trained, recording, tmp_path):
    trained(tiny())
    display = recording()
    run, _ = trained(tiny("callbacks=plugin", plugin=EVENTS), display)
    # As TensorBoard looks for them.
    walked = tf.io.gfile.walk(str(tmp_path / "runs"))
    events = [name for _, _, names in walked for name in names if ".tfevents." in name]
    assert len(events) == len(list(run.folder.rglob("*.tfevents.*"))) == 1
    assert any(
        "latest is not created, because TensorBoard would show" in note for note in display.notes
    )


def test_a_smoke_runs_name_still_is_one(tiny, trained):
    run, _ = trained(tiny(f"name={'n' * 100}"), smoke=True)
    assert run.folder.parent.name == f"{'n' * 94}-smoke"


def test_examples_per_second_count_every_example_once(tiny, trained):
    run, result = trained(tiny("data.batch_size=32", "fit.epochs=4"))
    seconds = sum(line["seconds"] for line in run.epochs)
    assert result.details["steps"] == 8
    assert result.details["examples_per_second"] == pytest.approx(4 * 40 / seconds, rel=0.01)


@pytest.mark.parametrize(
    ("moment", "done", "phase", "epochs"),
    [
        ("begin", 0, "between", 0),
        ("epoch 1", 1, "epoch", 0),
        ("step 3", 3, "epoch", 0),
        ("evaluated 1/2", 5, "validation", 0),
        ("end of epoch 1", 5, "between", 1),
        ("evaluated 2/3", 15, "between", 3),
    ],
)
def test_a_signal_stops_a_run_wherever_it_comes(
    tiny, trained, recording, moment, done, phase, epochs
):
    display = recording(moment, send(signal.SIGTERM))
    run, error = trained(tiny(), display)
    assert isinstance(error, Interrupted)
    assert error.exit_code == 143
    where = f"stopped by SIGTERM after step {done}; checkpoint {done:06d} is whole."
    assert str(error) == where
    assert error.run == str(run.folder)
    record = run.record
    assert (record["status"], record["error"], record["last"]) == (
        "interrupted",
        where,
        f"{done:06d}",
    )
    _, meta = checkpoint.load(run.folder / "checkpoints" / f"{done:06d}")
    assert (meta["step"], meta["phase"], meta["epoch"]) == (done, phase, epochs)
    assert [line["epoch"] for line in run.epochs] == list(range(1, epochs + 1))
    assert meta["journal_bytes"] == (run.folder / "metrics.jsonl").stat().st_size
    assert display.told[-1] == "end"
    assert not (run.folder / "summary.json").exists()


def test_a_state_saved_during_validation_has_the_epochs_training_values(tiny, trained, recording):
    words = ["checkpoint.every=5 steps", "checkpoint.keep=9"]
    at_step, _ = trained(tiny(*words))
    whole, _ = checkpoint.load(at_step.folder / "checkpoints/000005")
    run, _ = trained(tiny(), recording("evaluated 1/2", send(signal.SIGTERM)))
    stopped, _ = checkpoint.load(run.folder / "checkpoints/000005")
    assert stopped.keys() == whole.keys()
    assert all(np.array_equal(stopped[name], whole[name]) for name in whole)


def test_a_signal_that_comes_when_all_is_done_changes_nothing(tiny, trained, recording):
    run, result = trained(tiny(), recording("end", send(signal.SIGTERM)))
    assert run.record["status"] == "finished"
    assert result.details["status"] == "finished"


def test_training_works_outside_the_main_thread(tiny, trained):
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(trained(tiny())))
    thread.start()
    thread.join()
    assert outcomes[0][0].record["status"] == "finished"


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_epoch_end", "on_test_begin"])
def test_what_a_users_callback_raises_is_reported_with_the_users_frames(
    tiny, trained, recording, hook
):
    display = recording()
    plugin = CALLBACK.format(hook=hook, body=RAISES)
    run, error = trained(tiny("callbacks=[plugin]", plugin=plugin), display)
    assert isinstance(error, UserCodeError)
    assert str(error) == "KeyError: 'of the user'"
    frames = [line for line in error.frames.splitlines() if line.startswith("  File")]
    assert len(frames) == 1
    assert f'plugin.py", line 9, in {hook}' in frames[0]
    assert run.record["status"] == "failed"
    assert run.record["error"] == "KeyError: 'of the user'"
    assert display.told[-1] == "end"


def test_what_a_callback_raises_when_training_is_over_costs_no_step(tiny, trained):
    plugin = CALLBACK.format(hook="on_train_end", body=RAISES)
    run, error = trained(tiny("callbacks=[plugin]", plugin=plugin))
    assert isinstance(error, UserCodeError)
    assert run.record["last"] == "000015"
    assert len(run.epochs) == 3


def test_diverging_ends_a_run_with_its_values_written_down(tiny, trained, recording):
    display = recording()
    words = ["optimizer={name: sgd, learning_rate: 1e30}", "fit.epochs=9"]
    run, error = trained(tiny(*words), display)
    assert isinstance(error, Diverged)
    assert str(error).startswith("diverged: loss is nan, mae is nan")
    assert run.record["status"] == "diverged"
    assert run.record["last"] is None
    assert run.epochs[0]["loss"] == "nan"
    assert not (run.folder / "summary.json").exists()
    assert display.told[-3:] == ["end of epoch 1", "note", "end"]


def test_what_was_best_before_a_run_diverged_is_in_its_last_checkpoint(tiny, trained):
    plugin = CALLBACK.format(
        hook="on_epoch_begin",
        body="_[0] == 2 and self.model.model.trainable_variables[0].assign_add([[1e38] * 3] * 4)",
    )
    words = ["callbacks=[plugin]", "checkpoint.every=epoch"]
    run, error = trained(tiny(*words, plugin=plugin))
    assert isinstance(error, Diverged)
    state, meta = checkpoint.load(run.folder / "checkpoints" / run.record["last"])
    assert meta["epoch"] == 2
    assert run.record["best"] == meta["best"]
    assert part(state, BEST)
    assert math.isfinite(meta["best"]["value"])


@pytest.mark.parametrize("target", ["os.fsync", "os.rename"])
def test_a_disk_that_fills_up_ends_a_run_with_its_earlier_checkpoint(
    tiny, trained, recording, monkeypatch, target, tmp_path
):
    def fill():
        # The checkpoint of the first epoch is written while the second one is trained.
        while not list(tmp_path.glob("runs/*/2*/checkpoints/000005/meta.json")):
            time.sleep(0.01)
        monkeypatch.setattr(target, full_disk)

    run, error = trained(tiny("checkpoint.every=epoch"), recording("end of epoch 2", fill))
    monkeypatch.undo()
    assert isinstance(error, StorageError)
    assert "No space left on device" in str(error)
    assert checkpoint.newest(run.folder / "checkpoints").step == 5
    assert not list(run.folder.rglob(".tmp-*"))


def test_an_error_is_reported_even_if_run_json_cannot_be(tiny, trained, recording, monkeypatch):
    def fill():
        monkeypatch.setattr("os.replace", full_disk)
        os.kill(os.getpid(), signal.SIGINT)

    run, error = trained(tiny(), recording("step 2", fill))
    monkeypatch.undo()
    assert isinstance(error, Interrupted)
    assert error.exit_code == 130
    assert error.__notes__ == [f"cannot write {run.folder / 'run.json'}: No space left on device"]
    assert run.record["status"] == "running"


def test_a_run_whose_end_cannot_be_written_down_has_failed(tiny, trained, monkeypatch):
    def full_at_the_end(path, value):
        if value["status"] == "finished":
            raise StorageError(f"cannot write {path}: No space left on device")
        write_json(path, value)

    monkeypatch.setattr("fitx.rundir.record.write_json", full_at_the_end)
    run, error = trained(tiny())
    assert isinstance(error, StorageError)
    assert (run.record["status"], run.record["error"]) == ("failed", str(error))


def test_a_failing_display_does_not_hide_what_is_wrong(tiny, trained, recording):
    def broken():
        raise RuntimeError("of the display")

    with pytest.raises(RuntimeError, match="of the display"):
        trained(tiny(), recording("step 2", broken))


def test_a_bug_is_written_down_as_failed(tiny, trained, recording, tmp_path):
    def broken():
        raise RuntimeError("of fitx")

    with pytest.raises(RuntimeError):
        trained(tiny(), recording("step 2", broken))
    record = json.loads(next((tmp_path / "runs").glob("tiny/2*/run.json")).read_text())
    assert (record["status"], record["error"]) == ("failed", "RuntimeError: of fitx")


def test_nothing_is_written_before_everything_fits_together(tiny, trained, tmp_path):
    words = ["step=plugin", "~loss", "~metrics", "~checkpoint"]
    _, error = trained(tiny(*words, plugin=STEP))
    assert isinstance(error, UserCodeError)
    assert error.run is None
    assert not (tmp_path / "runs").exists()


def test_a_network_that_cannot_be_saved_is_trained_and_named(tiny, trained, recording):
    plugin = """
import keras
from fitx import models

class Odd(keras.layers.Layer):
    def __init__(self, thing):
        super().__init__()
        self.thing = thing
    def call(self, x):
        return x

@models.register
def plugin(input_shape, outputs):
    '''Return a network that Keras cannot write.'''
    inputs = keras.Input(input_shape)
    return keras.Model(inputs, keras.layers.Dense(outputs)(Odd(open)(inputs)))
"""
    run, result = trained(tiny("model=plugin", plugin=plugin), display := recording())
    assert not isinstance(result, Exception), result
    assert not list(run.folder.rglob("*.keras"))
    start = "networks/ gets no file of 'model', which is kept in the checkpoints alone: "
    assert display.notes[0].startswith(start)


BAD = {
    "NaN": ("x", lambda x: np.where(x == x[0, 0], np.nan, x), "NaN"),
    "lengths": ("y", lambda y: y[:-1], "the numbers of rows differ: x has 40, y has 39."),
    "rows": ("x_test", lambda x: x[:0], "test.x has no rows"),
    "shape": ("x_validation", lambda x: x[:, :3], "validation.x: a row has shape (3,)"),
}


@pytest.mark.parametrize("case", BAD)
def test_data_that_cannot_be_trained_on_leaves_nothing_behind(tiny, trained, tmp_path, case):
    name, spoil, text = BAD[case]
    experiment = tiny()
    arrays = dict(np.load(tmp_path / "tiny.npz"))
    np.savez(tmp_path / "tiny.npz", **{**arrays, name: spoil(arrays[name])})
    run, error = trained(experiment)
    assert run is None
    assert isinstance(error, DataError)
    assert error.exit_code == 3
    assert text in str(error)


def test_a_file_of_data_that_is_not_there_is_named(tiny, trained, tmp_path):
    experiment = tiny()
    (tmp_path / "tiny.npz").unlink()
    run, error = trained(experiment)
    assert run is None
    assert isinstance(error, DataError)
    assert "tiny.npz" in str(error)


def test_labels_that_the_loss_does_not_take_are_refused(tiny, trained):
    words = ["loss=sparse_categorical_crossentropy", "metrics=[]", "data=digits", "~checkpoint"]
    run, error = trained(tiny(*words, "model={name: mlp, outputs: 5}"))
    assert run is None
    assert isinstance(error, DataError)
    assert "labels run from 0 to 9; with the network's 5 outputs" in str(error)


def test_the_folders_of_what_callbacks_write_are_made(tiny, trained):
    run, _ = trained(tiny("callbacks=[{name: csv_logger, filename: a/b/table.csv}]"))
    assert (run.folder / "a/b/table.csv").read_text().count("\n") == 4
