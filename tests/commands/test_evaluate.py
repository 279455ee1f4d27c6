import shutil

import keras
import numpy as np
import pytest

from fitx import checkpoint
from fitx.commands.evaluate import EvaluationRequest, evaluate
from fitx.errors import Diverged, StorageError, UsageError
from fitx.experiment.check import read, use_step
from fitx.rundir.saved_experiment import read_unimported

REGULARIZED = (
    "model.layers=[{name: dense, units: 3, kernel_regularizer: {name: l2, l2: 0.5}}, "
    "{name: dropout, rate: 0.5}, {name: dense, units: 1}]"
)
SPARSE = "loss={name: sparse_categorical_crossentropy, from_logits: true}"
SIZE = """
import tensorflow as tf
from fitx import Step, steps

@steps.register
class Plugin(Step):
    '''Measures how large predictions are, with a factor of its own.'''
    def __init__(self, model):
        super().__init__(model=model)
        self.factor = self.add_weight(shape=(), initializer="ones", trainable=False)
    def train_step(self, data):
        self.factor.assign_add(1.0)
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x) - y) ** 2)
        self.minimize(loss, tape, "model")
        return {"loss": loss, "factor": self.factor}
    def test_step(self, data):
        x, y = data
        return {"factor": self.factor, "loss": tf.reduce_mean((self(x) - y) ** 2)}
"""


@pytest.fixture
def measured(recording):
    """Evaluate a run as `fitx evaluate` does; return the values."""

    def measured(run, *words, display=None, **question):
        experiment = read_unimported(run.folder, words)
        return evaluate(
            experiment, EvaluationRequest(run=run.folder, **question), display or recording()
        )

    return measured


def logged(run, split, epoch=None):
    """What a run logged of a split: `test_` values of its summary, or an epoch's `val_` ones."""
    line = run.epochs[epoch - 1] if epoch else run.json("summary.json")["metrics"]
    prefix = {"test": "test_", "validation": "val_"}[split]
    return {k.removeprefix(prefix): v for k, v in line.items() if k.startswith(prefix)}


@pytest.mark.parametrize(
    "word",
    [
        "checkpoint.monitor=val_loss",
        REGULARIZED,
        "optimizer={name: adam, learning_rate: 0.3, use_ema: true}",
        "optimizer={name: adam, learning_rate: 0.3, use_ema: true, ema_overwrite_frequency: 4}",
        "callbacks=[{name: early_stopping, monitor: loss, mode: max, restore_best_weights: true}]",
        "execution.precision=float64",
    ],
)
def test_a_run_measures_what_its_training_logged(tiny, trained, measured, word):
    run, _ = trained(tiny("fit.epochs=4", word))
    assert measured(run).metrics == pytest.approx(logged(run, "test"), rel=1e-6)
    best = run.record["best"]["epoch"]
    found = measured(run, weights="best", split="validation")
    assert found.metrics == pytest.approx(logged(run, "validation", best), rel=1e-6)


def test_the_result_names_what_was_measured(tiny, trained, measured, recording):
    run, _ = trained(tiny())
    display = recording()
    result = measured(run, display=display)
    assert result.to_json() == {
        "run": str(run.folder),
        "split": "test",
        "metrics": result.metrics,
        "examples": 20,
        "weights": "last",
        "checkpoint": run.record["last"],
    }
    assert display.plan.run == str(run.folder)
    assert display.plan.summary == (
        "supervised: model sequential, 19 parameters; test split: 20 examples"
    )
    assert display.told == ["begin", "evaluated 1/3", "evaluated 2/3", "evaluated 3/3", "end"]
    assert display.notes == []


def test_evaluating_changes_nothing_in_the_run(tiny, trained, measured):
    run, _ = trained(tiny())
    before = {p: p.stat().st_mtime_ns for p in run.folder.rglob("*")}
    measured(run)
    assert {p: p.stat().st_mtime_ns for p in run.folder.rglob("*")} == before


@pytest.mark.parametrize(
    ("present", "split"), [("xyz", "test"), ("xy", "validation"), ("x", "train")]
)
def test_the_split_is_the_first_of_test_validation_and_train(
    tiny, recording, tmp_path, present, split
):
    experiment = tiny("~checkpoint")
    arrays = dict(np.load(tmp_path / "tiny.npz"))
    kept = {"xyz": ("", "_validation", "_test"), "xy": ("", "_validation"), "x": ("",)}[present]
    names = [f"{part}{suffix}" for part in "xy" for suffix in kept]
    np.savez(tmp_path / "tiny.npz", **{name: arrays[name] for name in names})
    assert evaluate(experiment, EvaluationRequest(), recording()).split == split


def test_a_split_that_is_not_there_is_named_with_those_that_are(tiny, recording):
    with pytest.raises(UsageError) as error:
        evaluate(
            tiny("data=digits", "model=mlp", "~metrics", "~checkpoint", SPARSE),
            EvaluationRequest(split="validation"),
            recording(),
        )
    assert str(error.value) == (
        "the data 'digits' has no validation split; it has train, test. Set data.validation_split."
    )


def test_few_batches_can_be_measured(tiny, trained, measured):
    run, _ = trained(tiny())
    assert measured(run, steps=2).details["examples"] == 16


def test_a_step_keeps_variables_of_its_own(tiny, trained, measured):
    words = ["step=plugin", "~loss", "~metrics", "~checkpoint"]
    run, _ = trained(tiny(*words, plugin=SIZE))
    assert logged(run, "test")["factor"] == 16
    assert measured(run).metrics == pytest.approx(logged(run, "test"), rel=1e-6)


GAN = """
name: pair
plugins: [plugin.py]
step: gan
networks:
  discriminator: {name: sequential, layers: [{name: flatten}, {name: dense, units: 1}]}
  generator:
    name: sequential
    input_shape: [6]
    layers: [{name: dense, units: 64}, {name: reshape, target_shape: [8, 8, 1]}]
optimizers: {discriminator: adam, generator: adam}
data: {name: digits, labels: false, batch_size: 64}
fit: {epochs: 1, steps_per_epoch: 3}
"""
BRIGHTNESS = """
import tensorflow as tf
from fitx import Step, steps

@steps.register
class Plugin(Step):
    '''Measures how bright the images are that a generator draws.'''
    def __init__(self, generator):
        super().__init__(generator=generator)
    def train_step(self, data):
        return {}
    def test_step(self, data):
        return {"brightness": tf.reduce_mean(self(tf.ones((1, 6))))}
"""


def test_another_step_measures_on_those_networks_that_it_takes(trained, recording, tmp_path):
    (tmp_path / "plugin.py").write_text(BRIGHTNESS)
    (tmp_path / "gan.yaml").write_text(GAN)
    run, _ = trained(read(str(tmp_path / "gan.yaml")))
    experiment = use_step(read_unimported(run.folder), "plugin")
    found = evaluate(experiment, EvaluationRequest(run=run.folder), recording())
    generator = keras.saving.load_model(run.folder / "networks/generator.keras")
    brightness = generator(np.ones((1, 6))).numpy().mean()
    assert found.metrics == {"brightness": pytest.approx(brightness, rel=1e-5)}


def test_overrides_change_what_is_measured(tiny, trained, measured):
    run, _ = trained(tiny())
    assert list(measured(run, "metrics=[mse]").metrics) == ["loss", "mse"]


def test_data_that_the_run_has_not_seen_is_noted(tiny, trained, measured, recording, tmp_path):
    run, _ = trained(tiny())
    arrays = dict(np.load(tmp_path / "tiny.npz"))
    np.savez(tmp_path / "tiny.npz", **{**arrays, "x_test": arrays["x_test"] + 1})
    display = recording()
    measured(run, display=display)
    assert display.notes == ["the test split differs from the one that the run was trained with"]
    display = recording()
    measured(run, display=display, split="validation")
    assert display.notes == []


def test_a_checkpoint_that_does_not_fit_is_refused(tiny, trained, measured):
    run, _ = trained(tiny())
    with pytest.raises(StorageError) as error:
        measured(run, "networks.model.layers=[{name: dense, units: 5}, {name: dense, units: 1}]")
    assert str(error.value).splitlines()[0] == (
        "the checkpoint's 'networks/model/sequential/dense/bias' is float32 (3,); "
        "the experiment builds float32 (5,)."
    )


def test_a_run_that_watched_no_value_has_no_best_epoch(tiny, trained, measured):
    run, _ = trained(tiny("~checkpoint"))
    with pytest.raises(UsageError) as error:
        measured(run, weights="best")
    told = f"{run.folder} keeps no best epoch; train with checkpoint.monitor set."
    assert str(error.value) == told


def damage(folder):
    state = folder / "state.npz"
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1
    state.write_bytes(content)


def test_a_damaged_checkpoint_is_skipped_and_named(tiny, trained, measured, recording):
    run, _ = trained(tiny("checkpoint.every=epoch"))
    damage(run.folder / "checkpoints/000015")
    display = recording()
    result = measured(run, display=display, split="validation")
    assert result.details["checkpoint"] == "000010"
    assert result.metrics == pytest.approx(logged(run, "validation", 2), rel=1e-6)
    (note,) = display.notes
    assert note.startswith(f"skipped: checkpoint {run.folder}/checkpoints/000015 is damaged: ")


def test_a_run_without_a_whole_checkpoint_is_refused(tiny, trained, measured):
    run, _ = trained(tiny("checkpoint.every=epoch"))
    for folder in (run.folder / "checkpoints").iterdir():
        damage(folder)
    with pytest.raises(StorageError) as error:
        measured(run)
    first, *each = str(error.value).splitlines()
    assert first == "no checkpoint is valid:"
    assert [line.partition(" is damaged")[0][-6:] for line in each] == ["000015", "000010"]
    shutil.rmtree(run.folder / "checkpoints")
    with pytest.raises(StorageError) as error:
        measured(run)
    assert str(error.value) == f"{run.folder} holds no checkpoint yet."


def test_values_that_are_not_finite_are_no_result(tiny, trained, measured, recording):
    run, _ = trained(tiny())
    state, meta = checkpoint.load(run.folder / "checkpoints/000015")
    state = {k: np.full_like(v, np.nan) if "kernel" in k else v for k, v in state.items()}
    checkpoint.save(run.folder / "checkpoints", 16, state, meta, 9)
    display = recording()
    with pytest.raises(Diverged) as error:
        measured(run, display=display)
    assert str(error.value) == (
        "diverged: loss is nan, mae is nan on the test split. "
        "'networks/model/sequential/dense/kernel' holds nan."
    )
    assert display.told[-1] == "end"


def test_an_untrained_experiment_is_measured_as_its_seed_makes_it(tiny, trained, recording):
    run, _ = trained(tiny("fit.epochs=0"))
    found = evaluate(tiny(), EvaluationRequest(), recording())
    assert found.run is None
    assert found.metrics == pytest.approx(logged(run, "test"), rel=1e-6)


def test_another_step_can_measure(tiny, trained, recording):
    run, _ = trained(tiny())
    experiment = use_step(read_unimported(run.folder), "low_level")
    found = evaluate(experiment, EvaluationRequest(run=run.folder), recording())
    assert found.metrics["mae"] == pytest.approx(logged(run, "test")["mae"], rel=1e-6)
