"""From an experiment to its parts: what is made, and what is refused where."""

import re

import keras
import numpy as np
import pytest

from fitx.build.callback_parts import make_callbacks
from fitx.build.make import make
from fitx.data.splits import Split
from fitx.errors import DataError, UserCodeError
from fitx.experiment.problems import ConfigError

STEP = """
    import keras
    import tensorflow as tf

    from fitx import steps
    from fitx.registry.kinds import Loss
    from fitx.step import Step


"""

SPLITS = {"train": Split(np.ones((300, 2))), "test": Split(np.zeros((300, 2)))}


def layers(*parts):
    return f"model={{name: sequential, layers: [{', '.join(parts)}]}}"


def code(error):
    """The lines of code that an error's frames show, without files and markers."""
    lines = [line.strip() for line in error.frames.splitlines()]
    return [line for line in lines if not line.startswith("File ") and line.strip("~^")]


def refused(experiment):
    with pytest.raises(ConfigError) as caught:
        make(experiment)
    return [(".".join(map(str, p.path)), p.text) for p in caught.value.problems]


def users(experiment):
    with pytest.raises(UserCodeError) as caught:
        make(experiment)
    return caught.value


def test_sequential_nests_layers_regularizers_and_initializers(trained):
    lstm = "{name: bidirectional, layer: {name: lstm, units: 4}}"
    dense = (
        "{name: dense, units: 3, kernel_regularizer: {name: l2, l2: 0.1}, activation: relu, "
        "kernel_initializer: {name: random_normal, stddev: 0.5}}"
    )
    reshape, last = "{name: reshape, target_shape: [3, 1]}", "{name: dense, units: 1}"
    network = trained(layers(reshape, lstm, dense, last)).network()

    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds == ["Reshape", "Bidirectional", "Dense", "Dense"]
    assert network.layers[1].forward_layer.units == 4
    assert network.layers[2].kernel_regularizer.l2 == pytest.approx(0.1)
    assert network.layers[2].kernel_initializer.stddev == 0.5
    assert network.output_shape == (None, 1)


def test_a_layer_that_the_experiment_freezes_does_not_move(trained):
    words = layers("{name: dense, units: 2, trainable: false}", "{name: dense, units: 1}")
    before, after = (trained(words, f"fit.epochs={n}").network().get_weights() for n in (0, 2))

    assert [np.array_equal(b, a) for b, a in zip(before, after, strict=True)] == [
        *(True, True),
        *(False, False),
    ]


def test_the_seed_gives_the_same_weights_in_whatever_order_networks_are_written(written):
    text = """
    step: gan
    networks: {%s: %s, %s: %s}
    optimizers: {generator: adam, discriminator: adam}
    data: {name: digits, labels: false}
    """
    both = ("discriminator", "dcgan_discriminator", "generator", "dcgan_generator")
    made = []
    for order in (both, both[2:] + both[:2]):
        experiment = written(text=text % order)
        keras.utils.set_random_seed(experiment.seed)
        made.append(make(experiment).step.get_weights())

    assert all(np.array_equal(a, b) for a, b in zip(*made, strict=True))


def test_options_of_a_step_that_are_parts_are_made(written):
    plugin = (
        STEP
        + """
    @steps.register
    class Own(Step):
        def __init__(self, model, *, own_loss: Loss, scale: float = 1.0):
            super().__init__(model=model)
            self.own_loss, self.scale = own_loss, scale

        def train_step(self, data):
            return {"loss": self.own_loss(data[1], self(data[0]))}
    """
    )
    experiment = written(
        "step={name: own, own_loss: {name: huber, delta: 2.0}}", "~loss", own=plugin
    )

    step = make(experiment).step

    assert isinstance(step.own_loss, keras.losses.Huber)
    assert step.scale == 1.0


def test_a_schedule_decays_over_all_training_steps(written):
    schedule = "{name: cosine_decay, initial_learning_rate: 0.1, decay_steps: total}"
    words = f"optimizer={{name: adam, learning_rate: {schedule}}}", "fit.epochs=4"

    built = make(written(*words))

    # 20 rows in batches of 8 are 3 steps an epoch.
    assert built.step.optimizer._learning_rate.decay_steps == built.total_steps == 12


def test_the_schedule_of_a_callback_decays_over_all_epochs(written, tmp_path):
    schedule = "{name: polynomial_decay, initial_learning_rate: 0.4, decay_steps: total}"
    words = f"callbacks=[{{name: learning_rate_scheduler, schedule: {schedule}}}]", "fit.epochs=4"

    (callback,) = make_callbacks(written(*words), tmp_path, SPLITS)

    rates = [callback.schedule(epoch, 0.0) for epoch in range(5)]
    assert rates == pytest.approx([0.4, 0.300025, 0.20005, 0.100075, 0.0001])


def test_metrics_are_logged_by_the_names_that_the_experiment_gives_them(trained):
    run = trained("metrics=[mae, MeanSquaredError, {name: cosine_similarity, axis: -1}]")

    expected = ["loss", "mae", "MeanSquaredError", "cosine_similarity"]
    assert list(run.result.metrics) == expected


@pytest.mark.parametrize(
    ("word", "path", "text"),
    [
        (
            "optimizer={name: sgd, momentum: 7.0}",
            "optimizer",
            "cannot be made: `momentum` must be a float between [0, 1].",
        ),
        (
            "metrics=[mae, {name: auc, num_thresholds: 1}]",
            "metrics.1",
            "cannot be made: Argument `num_thresholds` must be an integer > 1. "
            "Received: num_thresholds=1.",
        ),
        (
            layers("flatten", "{name: conv1d, filters: 4, kernel_size: 3, groups: 3}"),
            "model.layers.1",
            "cannot be made: The number of filters must be evenly divisible by the number of "
            "groups. Received: groups=3, filters=4.",
        ),
        (
            layers(
                "{name: dense, units: 1, kernel_initializer: {name: variance_scaling, scale: -1.0}}"
            ),
            "model.layers.0.kernel_initializer",
            "cannot be made: Argument `scale` must be positive float. Received: scale=-1.0.",
        ),
        (
            layers("{name: conv1d, filters: 4, kernel_size: 3}"),
            "model",
            "cannot be made: Input 0 with name 'None' of layer 'conv1d' is incompatible with "
            "the layer: expected min_ndim=3, found ndim=2. Full shape received: (None, 3).",
        ),
        (
            "callbacks=[{name: reduce_lr_on_plateau, monitor: loss, factor: 3.0}]",
            "callbacks.0",
            "cannot be made: ReduceLROnPlateau does not support a factor >= 1.0. "
            "Received factor=3.0.",
        ),
    ],
)
def test_what_keras_refuses_is_a_problem_of_the_innermost_key(written, word, path, text):
    assert refused(written(word)) == [(path, text)]


def test_tensor_board_cannot_count_the_steps_of_several_optimizers(written):
    words = "step=gan", "~model", "~loss", "~optimizer", "data={name: digits, labels: false}"
    networks = "networks={discriminator: dcgan_discriminator, generator: dcgan_generator}"
    board = "callbacks=[{name: tensor_board, write_steps_per_second: true}]"
    optimizers = "optimizers={discriminator: adam, generator: adam}"

    found = refused(written(*words, networks, optimizers, board))

    text = "works with one optimizer; this step has 2."
    assert found == [("callbacks.0.write_steps_per_second", text)]


def test_nothing_is_written_where_a_part_is_refused(trained, tmp_path):
    with pytest.raises(ConfigError):
        trained("callbacks=[{name: reduce_lr_on_plateau, monitor: loss, factor: 3.0}]")

    assert not list(tmp_path.glob("runs*/*"))


@pytest.mark.parametrize(
    ("kind", "source", "word", "text"),
    [
        (
            "models",
            "return None",
            "model=own",
            "model 'own' returned nothing; return a keras.Model.",
        ),
        (
            "models",
            "return keras.Sequential([keras.layers.Dense(1)])",
            "model=own",
            "model 'own' returned a network without a known input shape; begin it with "
            "keras.Input(input_shape), or call its build().",
        ),
        (
            "datasets",
            "return [1, 2]",
            "data=own",
            "dataset 'own' returned a list; return splits: {'train': (x, y)}, of numpy arrays, and "
            "'validation' and 'test' alike.",
        ),
    ],
)
def test_what_a_plugin_function_returns_must_be_its_kind_of_part(written, kind, source, word, text):
    plugin = f"""
    import keras

    from fitx import {kind}


    @{kind}.register
    def own():
        {source}
    """

    assert str(users(written(word, own=plugin))) == text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            "def own(model):\n        return model",
            "step 'own' is a Sequential; derive it from fitx.step.Step.",
        ),
        (
            "class Own(Step):\n        def __init__(self, model):\n            super().__init__()",
            "Own.__init__ does not keep its network 'model'; call super().__init__(model=model) "
            "there.",
        ),
    ],
)
def test_a_step_must_be_one_and_keep_its_networks(written, body, text):
    plugin = STEP + f"    @steps.register\n    {body}\n"

    assert str(users(written("step=own", own=plugin))) == text


def test_a_callback_that_asks_for_examples_gets_those_of_the_test_split(written, tmp_path):
    plugin = """
    import keras
    from fitx import callbacks


    @callbacks.register
    class Own(keras.callbacks.Callback):
        def __init__(self, examples):
            super().__init__()
            self.examples = examples
    """
    experiment = written("callbacks=[own]", own=plugin)

    (callback,) = make_callbacks(experiment, tmp_path, SPLITS)

    assert np.array_equal(callback.examples, np.zeros((256, 2)))


def test_a_callback_must_be_one(written, tmp_path):
    plugin = """
    from fitx import callbacks


    @callbacks.register
    def own():
        return print
    """
    experiment = written("callbacks=[own]", own=plugin)

    with pytest.raises(UserCodeError) as caught:
        make_callbacks(experiment, tmp_path, SPLITS)

    text = (
        "callback 'own' is a builtin_function_or_method; derive it from keras.callbacks.Callback."
    )
    assert str(caught.value) == text


def test_a_plugin_that_raises_is_shown_with_its_own_frames_alone(written):
    plugin = """
    from fitx import models


    @models.register
    def own(input_shape):
        return inner(input_shape)


    def inner(shape):
        raise KeyError("lost")
    """
    error = users(written("model=own", own=plugin))

    assert str(error) == "KeyError: 'lost'"
    assert code(error) == [
        "return inner(input_shape)",
        'raise KeyError("lost")',
    ]
    assert error.frames.count("own.py") == 2


def test_data_without_labels_is_refused_for_a_step_that_learns_from_them(written):
    with pytest.raises(DataError) as caught:
        make(written("data.labels=false"))

    assert str(caught.value) == "step 'supervised' learns from labels, and this data has no y."


def test_a_metric_may_stand_twice_under_names_of_its_own(trained):
    top = "{name: cosine_similarity, axis: %d, as: %s}"
    words = f"metrics=[mae, {top % (-1, 'by_row')}, {top % (0, 'by_column')}]"
    run = trained(words, "checkpoint={monitor: by_row, mode: max}", "expect={by_column: '< 2'}")

    assert list(run.result.metrics) == ["loss", "mae", "by_row", "by_column"]
    assert run.result.metrics["by_row"] != run.result.metrics["by_column"]


@pytest.mark.parametrize(
    ("metrics", "text"),
    [
        ("[mae, mae]", "'mae' is given twice; remove one, or add `as: another_name` to it."),
        ("[mae, {name: mse, as: mae}]", "'mae' is given twice; remove one, or add"),
        ("[{name: mae, as: loss}]", "expected a name of letters, digits and '_', not 'loss'"),
        ("[{name: mae, as: val_mae}]", "without val_ or test_, found the string 'val_mae'"),
    ],
)
def test_two_metrics_under_one_name_are_refused(written, metrics, text):
    with pytest.raises(ConfigError, match=re.escape(text)):
        written(f"metrics={metrics}")


def test_an_optimizer_of_a_frozen_network_is_refused(written):
    frozen = "{name: dense, units: 1, trainable: false}"
    ((path, text),) = refused(written(layers(frozen)))

    assert path == "optimizer"
    assert text.startswith("has nothing to train: its network has no variables, or all layers")
    make(written(layers(frozen, "{name: dense, units: 1}")))
