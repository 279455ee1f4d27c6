"""A run that ended at any instant and goes on is the run that never ended, to the bit."""

import json
import shutil
import signal

import numpy as np
import pytest

from fitx import checkpoint
from fitx.commands import resume as resuming
from fitx.commands.resume import resume
from fitx.commands.train import train
from fitx.errors import Interrupted, StorageError, UsageError
from fitx.experiment.check import read
from fitx.rundir.journal import Journal
from fitx.rundir.record import reopen
from fitx.training import loop, session
from fitx.training.resumption.resume_request import finished_result, open_for_resume
from fitx.training.setup import build_and_trace
from fitx.training.state import run_state
from fitx.training.state.snapshot import Snapshot
from fitx.training.train_request import TrainRequest

DENSE = "{name: dense, units: 8, activation: tanh}"
RICH = f"""
name: rich
step: supervised
model:
  name: sequential
  layers:
  - {DENSE}
  - {{name: dropout, rate: 0.5}}
  - batch_normalization
  - {{name: gaussian_noise, stddev: 0.1}}
  - {{name: dense, units: 1}}
optimizer:
  name: adam
  use_ema: true
  learning_rate: {{name: cosine_decay, initial_learning_rate: 0.01, decay_steps: total}}
loss: mse
metrics: [mae]
data: {{name: random, rows: 77, features: 6, batch_size: 8, validation_split: 0.2}}
fit: {{epochs: 5}}
callbacks: [{{name: early_stopping, monitor: val_loss, patience: 9}}]
checkpoint: {{every: 1 steps, keep: 1000, monitor: val_loss}}
"""
PLATEAU = """
extends: rich.yaml
name: plateau
optimizer: {name: adam, learning_rate: 0.01, use_ema: false}
fit: {epochs: 7}
callbacks:
- {name: reduce_lr_on_plateau, monitor: val_loss, patience: 2, factor: 0.5, min_delta: 9.0}
- {name: early_stopping, monitor: val_loss, patience: 4, min_delta: 9.0, restore_best_weights: true}
- {name: csv_logger, filename: epochs.csv}
"""
GAN = f"""
name: pair
step: gan
networks:
  discriminator:
    name: sequential
    layers: [{DENSE}, {{name: dropout, rate: 0.3}}, {{name: dense, units: 1}}]
  generator:
    name: sequential
    layers: [{DENSE}, batch_normalization, {{name: dense, units: 4, activation: sigmoid}}]
optimizers:
  discriminator: {{name: adam, use_ema: true}}
  generator: {{name: rmsprop, momentum: 0.5}}
data: {{name: random, rows: 40, features: 4, batch_size: 8, labels: false}}
fit: {{epochs: 3}}
checkpoint: {{every: 1 steps, keep: 1000}}
"""
HALF = """
extends: rich.yaml
name: half
optimizer:
  {name: sgd, learning_rate: 0.05, momentum: 0.9, use_ema: false, gradient_accumulation_steps: 4}
execution: {precision: mixed_float16}
fit: {epochs: 3}
"""
FILES = {"rich": RICH, "plateau": PLATEAU, "pair": GAN, "half": HALF}
LAST = {"rich": 40, "plateau": 40, "pair": 15, "half": 24}
"""The training steps of each, early stopping included."""


class Finished:
    """What a run that never ended left, and one that went on is to leave."""

    def __init__(self, run):
        self.run = run
        newest = checkpoint.newest(run / "checkpoints")
        self.step, self.state = newest.step, newest.state
        times = ("seconds", "begun", "journal_bytes", "run")
        self.meta = {k: v for k, v in newest.meta.items() if k not in times}
        lines = (run / "metrics.jsonl").read_text().splitlines()
        self.epochs = [{**json.loads(line), "seconds": 0} for line in lines]
        self.table = (run / "epochs.csv").read_text() if (run / "epochs.csv").exists() else ""

    def differences(self, other):
        """Return the names of what is not the same to the bit."""
        names = self.state.keys() ^ other.state.keys()
        both = self.state.keys() & other.state.keys()
        names |= {n for n in both if self.state[n].tobytes() != other.state[n].tobytes()}
        facts = ("step", "meta", "epochs", "table")
        return names | {f for f in facts if getattr(self, f) != getattr(other, f)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    for name, text in FILES.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def straight(folder):
    """Train an experiment without an end in between, once; it keeps a checkpoint of every step."""
    done = {}

    def straight(name, mode="plain"):
        if (name, mode) not in done:
            experiment = read(str(folder / f"{name}.yaml"), [f"execution.mode={mode}"])
            result = train(experiment, TrainRequest(folder / mode), Silent())
            done[name, mode] = Finished((folder / mode / name / "latest").resolve())
            assert result.details["steps"] == LAST[name]
        return done[name, mode]

    return straight


@pytest.fixture
def stopped(straight, tmp_path):
    """A copy of a run as it was after so many steps, as if it had been killed there."""

    def stopped(name, step, mode="plain", revision=""):
        run = tmp_path / f"{name}-{step}-{mode}"
        shutil.copytree(straight(name, mode).run, run, symlinks=True)
        for one in (run / "checkpoints").iterdir():
            if one.name != f"{step:06d}{revision}":
                shutil.rmtree(one)
        reopen(run).update(status="running")
        return run

    return stopped


class Silent:
    """A display that keeps the notes."""

    def __init__(self):
        self.notes = []

    def __getattr__(self, name):
        return lambda *arguments: self.notes.append(arguments[0]) if name == "note" else None


def going_on(run, *words, display=None, allow_inexact=False):
    words = ("checkpoint.every=epoch", *words)
    with open_for_resume(run, words, allow_inexact=allow_inexact) as request:
        resume(request, display or Silent())
    return Finished(run)


@pytest.fixture(scope="module")
def traced():
    """Trace the step once for many resumed runs; each must put back all that the last one left."""
    made = []

    def traced(*arguments):
        made.extend([] if made else [build_and_trace(*arguments)])
        return made[0]

    return traced


@pytest.mark.parametrize("step", range(1, LAST["rich"] + 1))
def test_a_run_stopped_after_any_step_ends_as_if_it_had_not(
    straight, stopped, traced, step, monkeypatch
):
    monkeypatch.setattr(resuming, "build_and_trace", traced)
    assert not straight("rich").differences(going_on(stopped("rich", step)))


@pytest.mark.parametrize("epoch", [1, 4])
def test_a_run_stopped_between_two_epochs_ends_as_if_it_had_not(straight, folder, epoch):
    experiment = read(str(folder / "rich.yaml"), ["checkpoint.every=epoch"])
    with pytest.raises(Interrupted):
        train(experiment, TrainRequest(folder / "between", stop_after=8 * epoch + 1), Silent())
    run = (folder / "between" / "rich" / "latest").resolve()
    shutil.rmtree(run / "checkpoints" / f"{8 * epoch + 1:06d}")
    assert not straight("rich").differences(going_on(run))


@pytest.mark.parametrize("step", [8, 13, 23, 39, 40])
def test_callbacks_go_on_with_their_patience(straight, stopped, step):
    assert not straight("plateau").differences(going_on(stopped("plateau", step)))


@pytest.mark.parametrize(
    ("step", "mode"),
    [(1, "plain"), (8, "plain"), (5, "fused"), (8, "fused"), (1, "fused_xla"), (8, "fused_xla")],
)
def test_several_networks_and_optimizers_go_on_in_every_mode(straight, stopped, step, mode):
    assert not straight("pair", mode).differences(going_on(stopped("pair", step, mode)))


@pytest.mark.parametrize(("step", "mode"), [(3, "fused_xla"), (9, "fused"), (17, "xla")])
def test_one_network_goes_on_in_every_mode(straight, stopped, step, mode):
    assert not straight("rich", mode).differences(going_on(stopped("rich", step, mode)))


@pytest.mark.parametrize("step", [2, 11])
def test_accumulated_gradients_and_the_loss_scale_go_on(straight, stopped, step):
    assert not straight("half").differences(going_on(stopped("half", step)))


class Stopping(Silent):
    """A display that asks for a stop at one moment, as a signal would."""

    def __init__(self, moment):
        super().__init__()
        self.moment = moment

    def validation_step(self, step, steps):
        if (step, steps) == self.moment:
            signal.raise_signal(signal.SIGTERM)


WANDERING = '''
import keras
import tensorflow as tf
from fitx import Step, steps


@steps.register
class Wandering(Step):
    """Measures with dropout and batch statistics, and counts what it measures."""

    def __init__(self, model):
        super().__init__(model=model)
        self.count = tf.Variable(0, name="count")

    def train_step(self, data):
        x, y = data
        noise = keras.random.normal(tf.shape(y))
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self(x, training=True) - y + 0.1 * noise))
        self.minimize(loss, tape, "model")
        return {"loss": loss, "seen": tf.cast(self.count, "float32")}

    def test_step(self, data):
        x, y = data
        self.count.assign_add(1)
        return {"loss": tf.reduce_mean(tf.square(self(x, training=True) - y))}
'''
MOODY = '''
import random

import keras
import numpy as np
from fitx import callbacks


@callbacks.register
class Moody(keras.callbacks.Callback):
    """Changes the learning rate by random numbers and by what it remembers."""

    mood = 0

    def get_state(self):
        return {"mood": self.mood, "past": self.past}

    def set_state(self, state):
        self.mood, self.past = state["mood"], state["past"]

    def on_train_begin(self, logs=None):
        self.mood, self.past = 0, np.zeros(2)

    def on_test_begin(self, logs=None):
        self.mood += 1

    def on_epoch_end(self, epoch, logs=None):
        self.past += [random.random(), np.random.rand()]
        self.model.optimizer.learning_rate = 0.01 * self.past.sum() / self.mood
'''


@pytest.fixture
def own(tmp_path):
    """An experiment with a step and a callback that remember in every way there is."""
    (tmp_path / "rich.yaml").write_text(RICH)
    (tmp_path / "wandering.py").write_text(WANDERING)
    (tmp_path / "moody.py").write_text(MOODY)
    text = "extends: rich.yaml\nname: own\nplugins: [wandering.py, moody.py]\nstep: wandering\n"
    text += (
        "loss: null\nmetrics: null\noptimizer: {name: adam, learning_rate: 0.01, use_ema: false}\n"
    )
    text += "callbacks: [moody]\nfit: {epochs: 3}\ncheckpoint: {every: epoch, monitor: null}\n"
    (tmp_path / "own.yaml").write_text(text)
    return read(str(tmp_path / "own.yaml"))


@pytest.mark.parametrize("moment", [8, 11, (1, 2), (2, 2)])
def test_whatever_a_step_and_a_callback_remember_goes_on(own, tmp_path, moment):
    train(own, TrainRequest(tmp_path / "straight"), Silent())
    straight = Finished((tmp_path / "straight" / "own" / "latest").resolve())
    after = moment if isinstance(moment, int) else None
    with pytest.raises(Interrupted):
        train(own, TrainRequest(tmp_path / "cut", stop_after=after), Stopping(moment))
    run = (tmp_path / "cut" / "own" / "latest").resolve()
    phase = checkpoint.newest(run / "checkpoints").meta["phase"]
    assert phase == ("epoch" if after else "validation")
    assert not straight.differences(going_on(run))


def without_part(prefixes=(), endings=(), callbacks=()):
    """Return what spoils a snapshot: some arrays are left as they are built, some facts changed."""

    def spoiled(state, snapshot, built):
        arrays = dict(snapshot.state)
        for name in built.keys() & arrays.keys():
            if name.startswith(prefixes) or name.endswith(endings):
                arrays[name] = built[name]
        meta = {**snapshot.meta, "callbacks": dict(snapshot.meta["callbacks"])}
        for name in callbacks:
            del meta["callbacks"][name]
        return Snapshot(arrays, meta)

    return spoiled


CONTROLS = {
    "seeds": ("rich", 11, without_part(endings=("seed_generator_state",))),
    "optimizer": ("rich", 11, without_part(prefixes=("optimizers/",))),
    "batch normalization": ("rich", 11, without_part(endings=("moving_mean", "moving_variance"))),
    "metrics": ("rich", 11, without_part(prefixes=("metrics/",))),
    "early stopping": ("plateau", 26, without_part(callbacks=("EarlyStopping",))),
    "plateau": ("plateau", 13, without_part(callbacks=("ReduceLROnPlateau",))),
}


@pytest.mark.parametrize("name", CONTROLS)
def test_a_part_of_the_state_that_were_lost_would_be_noticed(straight, stopped, name, monkeypatch):
    experiment, step, spoiled = CONTROLS[name]
    whole, run = straight(experiment), stopped(experiment, step)
    restore = run_state.RunState.restore

    def without(state, snapshot):
        restore(state, spoiled(state, snapshot, state.capture().state))

    monkeypatch.setattr(run_state.RunState, "restore", without)
    assert whole.differences(going_on(run))


def test_another_order_of_the_data_would_be_noticed(straight, stopped, monkeypatch):
    whole, run = straight("rich"), stopped("rich", 11)
    feed = loop.training_feed
    monkeypatch.setattr(loop, "training_feed", lambda built, done: feed(built, done + 1))
    assert whole.differences(going_on(run))


def test_a_journal_that_is_not_cut_would_be_noticed(straight, stopped, monkeypatch):
    whole, run = straight("rich"), stopped("rich", 11)
    monkeypatch.setattr(session, "Journal", lambda run, size: Journal(run))
    assert whole.differences(going_on(run)) == {"epochs"}


def test_a_finished_run_is_trained_further_from_what_training_left(straight, stopped):
    run = stopped("rich", 40, revision="-2")
    reopen(run).update(status="finished")
    notes = Silent()
    longer = going_on(run, "fit.epochs=7", display=notes)
    assert notes.notes == [
        "fit.epochs: 5 -> 7",
        "checkpoint.every: 1 steps -> epoch",
        "resumed from checkpoint 000040-2, after step 40",
        "optimizers.model.learning_rate: the schedule spans 56 steps instead of 40 now; its "
        "learning rate jumps here",
    ]
    assert longer.step == 56
    assert longer.epochs[:5] == straight("rich").epochs
    assert [epoch["epoch"] for epoch in longer.epochs] == [1, 2, 3, 4, 5, 6, 7]
    assert read(str(run / "experiment.yaml")).fit.epochs == 7
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["resumed"][0]["from"] == "000040-2"
    assert record["resumed"][0]["changes"] == notes.notes[:2]


def test_a_finished_run_of_which_nothing_is_asked_is_left_as_it_is(straight):
    run = straight("rich").run
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    result = finished_result(run)
    assert result.metrics == json.loads((run / "summary.json").read_text())["metrics"]
    assert result.split == "validation"
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_a_run_that_a_callback_ended_stays_ended_unless_the_callbacks_change(stopped):
    run, notes = stopped("plateau", 40, revision="-1"), Silent()
    assert going_on(run, "fit.epochs=9", display=notes).step == 40
    ended = "a callback stopped the training after epoch 5, so there is nothing to do; change "
    assert f"{ended}the callbacks to continue training" in notes.notes
    assert going_on(run, "~callbacks", "fit.epochs=6").step == 48


def test_a_run_without_a_checkpoint_begins_anew(straight, stopped):
    run, notes = stopped("rich", 999), Silent()
    assert not straight("rich").differences(going_on(run, display=notes))
    assert notes.notes[-1] == "there is no checkpoint yet: training starts at step 0"


def test_a_damaged_checkpoint_is_skipped_and_named(straight, stopped, tmp_path):
    run, notes = stopped("rich", 11), Silent()
    shutil.copytree(straight("rich").run / "checkpoints/000013", run / "checkpoints/000013")
    with (run / "checkpoints/000013/state.npz").open("r+b") as file:
        file.seek(1000)
        file.write(b"\xff\xfe\xfd")
    assert not straight("rich").differences(going_on(run, display=notes))
    damaged = f"checkpoint {run / 'checkpoints/000013'} is damaged"
    assert f"skipped: {damaged}: state.npz does not match its checksum" in notes.notes


def test_a_checkpoint_of_another_run_is_skipped(straight, stopped, tmp_path):
    run, notes = stopped("rich", 11), Silent()
    other = straight("rich", "fused").run / "checkpoints/000012"
    shutil.copytree(other, run / "checkpoints/000012")
    assert not straight("rich").differences(going_on(run, display=notes))
    foreign = f"checkpoint {run / 'checkpoints/000012'} belongs to another run"
    assert f"skipped: {foreign}" in notes.notes


def test_a_learning_rate_that_is_changed_counts_from_there_on(stopped):
    run = stopped("plateau", 13)
    with pytest.raises(UsageError) as error:
        going_on(run, "optimizers.model.learning_rate=0.5")
    assert str(error.value) == (
        "the run cannot be resumed exactly: these changes affect its result:\n"
        "  optimizers.model.learning_rate: 0.01 -> 0.5\n"
        "Use `--allow-inexact` to resume anyway; the result will no longer be bit-identical."
    )
    words = ("optimizers.model.learning_rate=0.5", "~callbacks", "fit.epochs=2")
    after = going_on(run, *words, allow_inexact=True)
    assert after.state["optimizers/model/adam/learning_rate"] == 0.5


def test_networks_that_do_not_fit_the_checkpoint_are_refused(stopped):
    run = stopped("rich", 11)
    with pytest.raises(UsageError) as error:
        going_on(run, "networks.model.layers.0.units=5", allow_inexact=True)
    lines = str(error.value).splitlines()
    assert lines[0] == "the run cannot be resumed: these changes do not fit its checkpoint:"
    assert "  networks.model.layers.0.units: 8 -> 5" in lines
    assert lines[-1] == "Train a new run with `fitx train`."
    assert json.loads((run / "run.json").read_text())["status"] == "running"


def test_other_numbers_than_the_run_had_are_refused(own, tmp_path):
    numbers = tmp_path / "numbers.npz"
    np.savez(numbers, x=np.ones((20, 6), "float32"), y=np.ones((20, 1), "float32"))
    words = [f"data={{name: npz, path: {numbers}, batch_size: 5}}", "~callbacks"]
    experiment = read(str(tmp_path / "own.yaml"), words)
    with pytest.raises(Interrupted):
        train(experiment, TrainRequest(tmp_path / "runs", stop_after=2), Silent())
    run = (tmp_path / "runs" / "own" / "latest").resolve()
    np.savez(numbers, x=np.zeros((20, 6), "float32"), y=np.ones((20, 1), "float32"))
    with pytest.raises(UsageError, match=r"train.sha256: \w{12} -> \w{12}\nUse `--allow-inexact`"):
        going_on(run)
    assert going_on(run, allow_inexact=True).step == 12


def test_a_checkpoint_of_another_experiment_is_refused(straight, stopped):
    run = stopped("rich", 11)
    shutil.rmtree(run / "checkpoints")
    shutil.copytree(straight("pair").run / "checkpoints", run / "checkpoints")
    shutil.copy(straight("pair").run / "metrics.jsonl", run)
    reopen(run).update(id=json.loads((straight("pair").run / "run.json").read_text())["id"])
    with pytest.raises(StorageError) as error:
        going_on(run)
    first = str(error.value).splitlines()[0]
    assert first.startswith(
        f"checkpoint {run / 'checkpoints/000015-2'} does not belong to this run, "
    )


def test_callbacks_that_say_nothing_of_their_state_are_named(tmp_path, own):
    (tmp_path / "moody.py").write_text(MOODY.replace("get_state", "a").replace("set_state", "b"))
    display = Silent()
    train(read(str(tmp_path / "own.yaml")), TrainRequest(tmp_path / "runs"), display)
    lost = "it has no get_state and set_state, so its state is lost on resume"
    assert f"callback Moody: {lost}" in display.notes


def test_another_mode_is_taken_only_where_inexact_is_allowed(straight, stopped):
    run = stopped("rich", 11)
    with pytest.raises(UsageError, match="mode: plain -> fused_xla\nUse `--allow-inexact`"):
        going_on(run, "execution.mode=fused_xla")
    assert going_on(run, "execution.mode=fused_xla", allow_inexact=True).step == 40
    assert json.loads((run / "run.json").read_text())["mode"] == "fused_xla"


def test_a_run_goes_on_with_the_threads_it_had(stopped):
    run = stopped("rich", 11)
    with open_for_resume(run, (), allow_inexact=False) as request:
        had = request.record["threads"]
        assert request.on_threads(had) is request.experiment
        assert request.on_threads(had + 6).execution.threads == had


def test_the_state_that_was_put_back_is_not_kept_beside_the_run(stopped, monkeypatch):
    seen = []
    run_training = resuming.run_training

    def watched(context):
        result = run_training(context)
        seen.append(context.snapshot.state)
        return result

    monkeypatch.setattr(resuming, "run_training", watched)
    going_on(stopped("rich", 11))
    assert seen == [{}]
