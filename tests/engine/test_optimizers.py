"""Precisions and the options of Keras' optimizers do what they say, and the same in every mode."""

import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest

from fitx import runtime
from fitx.build.make import make
from fitx.build.step_feeds import evaluation_feed, training_feed
from fitx.engine.modes.execution_modes import MODES, ExecutionPlan
from fitx.experiment.check import read
from fitx.training.state.variables import capture, variables

ROWS, BATCH = 40, 8
MODES_TRIED = ("plain", "fused", "fused_xla")
DATA = """
data: {name: npz, path: d.npz, batch_size: 8, shuffle: false}
fit: {epochs: 4}
"""
NET = f"""
model:
  name: sequential
  layers: [{{name: dense, units: 8, activation: tanh}}, {{name: dense, units: 1}}]
optimizer: {{name: sgd, learning_rate: 0.1}}
{DATA}
"""
EXPERIMENTS = {
    "supervised": f"step: supervised\nloss: mse\n{NET}",
    "low_level": f"step: low_level\n{NET}",
    "gan": f"""
step: gan
networks:
  discriminator: {{name: mlp, units: [6], outputs: 1}}
  generator: {{name: sequential, input_shape: [4], layers: [{{name: dense, units: 3}}]}}
optimizers: {{discriminator: adam, generator: {{name: adam, learning_rate: 0.01}}}}
{DATA}
""",
    "pair": f"""
plugins: [pair.py]
step: pair
networks:
  loud: {{name: sequential, layers: [{{name: dense, units: 1}}]}}
  quiet: {{name: sequential, layers: [{{name: dense, units: 1}}]}}
optimizers: {{loud: {{name: sgd, learning_rate: 1e-6}}, quiet: {{name: sgd, learning_rate: 1.0}}}}
{DATA}
""",
}
PAIR = """
    import tensorflow as tf
    from fitx import Step, steps

    @steps.register
    class Pair(Step):
        def __init__(self, loud, quiet):
            super().__init__(loud=loud, quiet=quiet)

        def train_step(self, data):
            x, y = data
            losses = {}
            for name, factor in (("loud", 1e4), ("quiet", 0.01)):
                with tf.GradientTape() as tape:
                    error = tf.cast(self.networks[name](x, training=True), "float32") - y
                    losses[name] = factor * tf.reduce_mean(error**2)
                self.minimize(losses[name], tape, name)
            return losses
"""


class Outcome:
    """What a training came to, as its last step left it, and the networks as it ended."""

    def __init__(self, built, mode):
        self.step = built.step
        built.step.execution.use_plan(ExecutionPlan({"train": MODES[mode], "test": MODES[mode]}))
        self.state = {}
        validation = {}
        if "validation" in built.data.splits:
            validation["validation_data"] = evaluation_feed(built, "validation")
            validation["validation_steps"] = built.evaluation_steps("validation")
        self.history = built.step.fit(
            training_feed(built),
            epochs=built.experiment.fit.epochs,
            steps_per_epoch=built.steps_per_epoch,
            callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=self._keep)],
            verbose=0,
            shuffle=False,
            **validation,
        ).history

    def _keep(self, epoch, logs):
        self.state = capture(variables(self.step))

    def all(self, *words):
        """Return what the last step left whose name holds all of these words."""
        return [value for name, value in self.state.items() if all(w in name for w in words)]

    def one(self, *words):
        (value,) = self.all(*words)
        return value


@pytest.fixture
def outcome(tmp_path, monkeypatch):
    """Train one of the experiments, changed by words, in a mode."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    arrays = {}
    for suffix, rows in (("", ROWS), ("_validation", 16)):
        x = rng.normal(size=(rows, 3)).astype("float32")
        arrays |= {f"x{suffix}": x, f"y{suffix}": x @ [[1.0], [-1.0], [0.5]] + 0.1}
    np.savez("d.npz", **{name: array.astype("float32") for name, array in arrays.items()})
    Path("pair.py").write_text(textwrap.dedent(PAIR))

    def outcome(name, *words, mode="plain"):
        Path("e.yaml").write_text(EXPERIMENTS[name])
        experiment = read("e.yaml", list(words))
        precision = experiment.execution.precision
        runtime.prepare(device="cpu", precision=precision, deterministic=False, seed=0)
        return Outcome(make(experiment), mode)

    yield outcome
    keras.config.set_dtype_policy("float32")


def differences(first, second):
    """Return the largest relative difference of each variable between two trainings."""
    assert first.state.keys() == second.state.keys()
    found = {}
    for name, value in first.state.items():
        a, b = value.astype("float64"), second.state[name].astype("float64")
        found[name] = np.max(np.abs(a - b)) / (np.max(np.abs(a)) + 1e-6)
    return found


def same_to_the_bit(first, second):
    pairs = ((value, second.state[name]) for name, value in first.state.items())
    return all(a.tobytes() == b.tobytes() for a, b in pairs) and first.history == second.history


KERNELS = ("networks/", "kernel")
ACCUMULATED = "name: sgd, gradient_accumulation_steps: 4"
ACCUMULATING = "gradient_accumulation_steps: 4"
AVERAGING = "use_ema: true, ema_momentum: 0.8, ema_overwrite_frequency: 3"
COSINE = "learning_rate: {name: cosine_decay, initial_learning_rate: 0.1, decay_steps: total}"
OPTIONS = [
    "clipnorm: 0.1",
    "global_clipnorm: 0.1",
    "clipvalue: 0.01",
    "weight_decay: 0.1",
    ACCUMULATING,
    AVERAGING,
    f"{ACCUMULATING}, clipnorm: 0.1, weight_decay: 0.1",
    "loss_scale_factor: 1024",
]


@pytest.mark.parametrize(
    "optimizer",
    [
        "name: sgd, global_clipnorm: 0.1",
        f"name: adam, {AVERAGING}, clipvalue: 0.01",
        f"name: adam, {ACCUMULATING}, clipnorm: 0.1, weight_decay: 0.1, loss_scale_factor: 1024",
        f"name: adam, {COSINE}",
    ],
)
def test_the_options_of_an_optimizer_work_alike_in_every_mode(outcome, optimizer):
    word = f"optimizer={{{optimizer}}}"

    plain, fused, xla = (outcome("supervised", word, mode=mode) for mode in MODES_TRIED)

    assert plain.history["loss"][-1] < plain.history["loss"][0]
    assert same_to_the_bit(plain, fused)
    assert max(differences(plain, xla).values()) < 1e-5


@pytest.mark.parametrize(
    ("name", "precision", "tolerance"),
    [
        ("low_level", "float32", 1e-5),
        ("low_level", "mixed_float16", 2e-3),
        ("low_level", "mixed_bfloat16", 5e-2),
        ("gan", "mixed_float16", 2e-3),
        ("pair", "mixed_float16", 2e-3),
    ],
)
def test_a_precision_works_alike_in_every_mode(outcome, name, precision, tolerance):
    word = f"execution.precision={precision}"

    plain, fused, xla = (outcome(name, word, mode=mode) for mode in MODES_TRIED)

    assert same_to_the_bit(plain, fused)
    # XLA draws other noise for the GAN.
    expected = outcome(name, word, mode="xla") if name == "gan" else plain
    for value, other in zip(expected.history.values(), xla.history.values(), strict=True):
        assert value == pytest.approx(other, rel=tolerance)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", ["supervised", "low_level"])
def test_a_mixed_precision_trains_as_float32_does(outcome, name, precision):
    full = outcome(name, "fit.epochs=10")
    mixed = outcome(name, "fit.epochs=10", f"execution.precision={precision}")

    assert mixed.history["loss"] == pytest.approx(full.history["loss"], rel=5e-2)
    assert mixed.history["loss"][-1] < mixed.history["loss"][0] / 4


@pytest.mark.parametrize("mode", MODES_TRIED)
def test_each_optimizer_has_its_own_loss_scale_which_an_overflow_halves(outcome, mode):
    result = outcome("pair", "execution.precision=mixed_float16", mode=mode)
    steps = 4 * ROWS // BATCH

    loud, quiet = (result.one(f"optimizers/{name}/", "dynamic_scale") for name in ("loud", "quiet"))
    halvings = np.log2(2**15 / loud)
    applied = result.step.loud_optimizer.iterations.numpy()

    assert quiet == 2**15
    assert result.step.quiet_optimizer.iterations.numpy() == steps
    assert halvings == int(halvings) > 3
    assert applied == steps - halvings
    for losses in result.history.values():
        assert losses[-1] < losses[0]


def test_a_step_that_overflows_leaves_everything_as_it_was(outcome):
    # Of the loud network no step is without an overflow until the scale is down.
    words = "execution.precision=mixed_float16", "fit.steps_per_epoch=1", "fit.epochs=2"
    once, twice = (outcome("pair", *words, f"fit.epochs={n}") for n in (1, 2))

    for name, value in once.state.items():
        if name.startswith(("networks/loud", "optimizers/loud")) and "scale" not in name:
            assert np.array_equal(value, twice.state[name]), name
        elif name.startswith("networks/quiet"):
            assert not np.array_equal(value, twice.state[name]), name


@pytest.mark.parametrize("mode", MODES_TRIED)
def test_accumulated_steps_equal_one_step_on_the_batches_together(outcome, mode):
    whole = outcome("supervised", "optimizer=adam", "data.batch_size=20", mode=mode)
    word = "optimizer={name: adam, gradient_accumulation_steps: 5}"
    parts = outcome("supervised", word, "data.batch_size=4", mode=mode)

    for name, value in whole.state.items():
        if name.startswith("networks/"):
            assert parts.state[name] == pytest.approx(value, rel=1e-5, abs=1e-6), name
    assert parts.step.model_optimizer.iterations == 8


def test_accumulation_goes_on_from_one_epoch_to_the_next(outcome):
    # Five steps an epoch: the first update is made of four, the second of the fifth and three more.
    word = f"optimizer={{name: sgd, {ACCUMULATING}}}"
    states = [outcome("supervised", word, f"fit.epochs={epochs}") for epochs in (1, 2, 4)]
    assert [int(s.step.model_optimizer.iterations) for s in states] == [1, 2, 5]


def test_a_schedule_counts_batches_and_not_updates(outcome):
    # Updates come with batches 4, 8, ... of 20; from the eleventh on the rate is 0.
    schedule = "{name: piecewise_constant_decay, boundaries: [9], values: [0.1, 0.0]}"
    scheduled = outcome("supervised", f"optimizer={{{ACCUMULATED}, learning_rate: {schedule}}}")
    word = f"optimizer={{{ACCUMULATED}, learning_rate: 0.1}}"
    until_then = outcome("supervised", word, "fit.epochs=2")

    assert until_then.step.model_optimizer.iterations == 2
    for ours, theirs in zip(scheduled.all(*KERNELS), until_then.all(*KERNELS), strict=True):
        assert np.array_equal(ours, theirs)


def test_the_end_of_a_schedule_over_all_steps_is_the_end_of_the_training(outcome):
    schedule = "{name: polynomial_decay, initial_learning_rate: 0.1, decay_steps: total}"
    result = outcome("supervised", f"optimizer={{{ACCUMULATED}, learning_rate: {schedule}}}")
    assert result.step.model_optimizer._iterations == 20
    assert float(result.step.model_optimizer.learning_rate) == pytest.approx(1e-4)


@pytest.mark.parametrize("mode", MODES_TRIED)
def test_averages_of_one_of_two_optimizers_end_in_its_network_alone(outcome, mode):
    word = f"optimizers.generator={{name: adam, {AVERAGING}}}"
    result = outcome("gan", word, mode=mode)

    for name, network in result.step.networks.items():
        raw = result.all(f"networks/{name}/")
        averages = result.all(f"optimizers/{name}/", "average")
        final = [weight.numpy() for weight in network.weights]
        expected = averages if name == "generator" else raw
        assert all(np.array_equal(a, b) for a, b in zip(expected, final, strict=True))
        assert len(averages) == (2 if name == "generator" else 0)


def test_averages_follow_the_weights_by_their_momentum(outcome):
    # One step an epoch, so that every step's weights are seen.
    words = "optimizer={name: sgd, use_ema: true, ema_momentum: 0.8}", "fit.steps_per_epoch=1"
    average = None
    for epochs in (1, 2, 3, 4):
        result = outcome("supervised", *words, f"fit.epochs={epochs}")
        weights = np.concatenate([v.ravel() for v in result.all("networks/")])
        # The first step's weights are the first average.
        average = weights if average is None else 0.8 * average + 0.2 * weights
        held = np.concatenate([v.ravel() for v in result.all("average")])
        assert held == pytest.approx(average, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("mode", MODES_TRIED)
def test_validation_during_training_measures_the_weights_that_are_not_averaged(outcome, mode):
    result = outcome("supervised", "optimizer={name: adam, use_ema: true}", mode=mode)
    arrays = np.load("d.npz")

    def loss():
        predicted = result.step(arrays["x_validation"])
        return np.mean((predicted - arrays["y_validation"]) ** 2)

    averaged = loss()
    for weight, value in zip(result.step.model.weights, result.all("networks/"), strict=True):
        weight.assign(value)

    assert result.history["val_loss"][-1] == pytest.approx(loss(), rel=1e-5)
    assert result.history["val_loss"][-1] != pytest.approx(averaged, rel=1e-3)


@pytest.mark.parametrize("options", OPTIONS)
def test_an_option_does_what_it_does_in_stock_keras(outcome, options):
    result = outcome("supervised", f"optimizer={{name: adam, {options}}}")
    keywords = {k: v for k, v in (o.split(": ") for o in options.split(", "))}
    keywords = {k: True if v == "true" else float(v) for k, v in keywords.items()}
    for name in ("gradient_accumulation_steps", "ema_overwrite_frequency"):
        if name in keywords:
            keywords[name] = int(keywords[name])
    before = outcome("supervised", "optimizer={name: sgd, learning_rate: 0.0}").step.model
    stock = keras.models.clone_model(before)
    stock.set_weights(before.get_weights())
    stock.compile(keras.optimizers.Adam(**keywords), "mse", jit_compile=False)
    arrays = np.load("d.npz")

    stock.fit(arrays["x"], arrays["y"], BATCH, epochs=4, shuffle=False, verbose=0)

    for ours, theirs in zip(result.step.model.get_weights(), stock.get_weights(), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-6)
