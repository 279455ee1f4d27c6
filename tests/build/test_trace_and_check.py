"""Data against networks, loss and metrics; monitored names against what the step logs."""

import numpy as np
import pytest

from fitx.build.make import make
from fitx.build.preflight import trace_and_check
from fitx.errors import DataError, UserCodeError
from fitx.experiment.problems import ConfigError

STEP = """
    import tensorflow as tf

    from fitx import steps
    from fitx.step import Step


    @steps.register
    class Own(Step):
"""
CLASSES = "loss=sparse_categorical_crossentropy", "metrics=[sparse_categorical_accuracy]"
X = np.zeros((6, 3), np.float32)


@pytest.fixture
def refusal(written, arrays):
    """Return the lines that refuse data of some labels, for one dense layer of `units`."""

    def refusal(*words, units=1, x=X, **labels):
        model = f"model={{name: sequential, layers: [{{name: dense, units: {units}}}]}}"
        experiment = written(arrays(x=x, **labels), model, *words)
        with pytest.raises(DataError) as caught:
            make(experiment)
        return str(caught.value).splitlines()

    return refusal


def labels(*numbers):
    return np.array(numbers)


def code(error):
    """The lines of code that an error's frames show, without files and markers."""
    lines = [line.strip() for line in error.frames.splitlines()]
    return [line for line in lines if not line.startswith("File ") and line.strip("~^")]


def problems(error):
    return [(".".join(map(str, p.path)), p.text) for p in error.value.problems]


def traced(experiment):
    built = make(experiment)
    trace_and_check.trace(built)
    if "validation" in built.data.splits:
        trace_and_check.trace(built, "test", "validation")
    return built


def test_labels_out_of_range_are_named_by_split(refusal):
    found = refusal(
        *CLASSES[:1], units=4, y=labels(0, 1, 2, 3, 4, 5), x_test=X[:2], y_test=labels(-1, 0)
    )

    ending = "with the network's 4 outputs sparse_categorical_crossentropy takes 0 to 3."
    assert found == [
        f"train: labels run from 0 to 5; {ending}",
        f"test: labels run from -1 to 0; {ending}",
    ]


def test_labels_are_judged_by_the_metrics_too(refusal):
    found = refusal(
        "loss={name: sparse_categorical_crossentropy, ignore_class: 5}",
        CLASSES[1],
        units=4,
        y=labels(0, 1, 2, 3, 3, 5),
    )

    assert found == [
        "train: labels run from 0 to 5; with the network's 4 outputs "
        "sparse_categorical_accuracy takes 0 to 3."
    ]


def test_labels_that_are_fractions_are_no_classes(refusal):
    found = refusal(*CLASSES[:1], units=4, y=labels(0.5, 1, 2, 3, 1, 2).astype("float32"))

    assert found == [
        "train: y holds fractions; sparse_categorical_crossentropy takes class numbers."
    ]


def test_one_hot_labels_are_no_class_numbers(refusal):
    found = refusal(*CLASSES[:1], units=3, y=np.eye(6, 3))

    assert found == [
        "one y has shape (3,), the network's output (3,); sparse_categorical_crossentropy takes "
        "one class number for each output."
    ]


def test_class_numbers_are_not_one_hot_labels(refusal):
    found = refusal("loss=categorical_crossentropy", units=3, y=labels(0, 1, 2, 0, 1, 2))

    assert found == [
        "one y has shape (), the network's output (3,); categorical_crossentropy compares them "
        "number by number. For class numbers take sparse_categorical_crossentropy."
    ]


def test_targets_of_another_width_than_the_outputs_are_refused_and_not_broadcast(refusal):
    found = refusal("metrics=[mae]", units=2, y=np.zeros((6, 1)))

    text = "one y has shape (1,), the network's output (2,); {} compares them number by number."
    assert found == [text.format("mse"), text.format("mae")]


def test_probabilities_lie_between_zero_and_one(refusal):
    found = refusal("loss=binary_crossentropy", y=labels(0, 1, 2, 0, 1, 2))

    assert found == [
        "train: y lies in [0, 2]; binary_crossentropy takes values from 0 to 1. For class numbers "
        "take sparse_categorical_crossentropy."
    ]


def test_rows_of_another_shape_than_the_network_takes_are_refused(written, arrays):
    experiment = written(arrays(x=X, y=X[:, :1]), "model={name: linear, input_shape: [4]}")

    with pytest.raises(DataError) as caught:
        make(experiment)

    assert str(caught.value) == "one x has shape (3,); the network 'model' takes (4,)."


@pytest.mark.parametrize(
    ("words", "units", "y"),
    [
        (["loss=mse"], 1, np.zeros(6)),
        (["loss=mse", "metrics=[mae]"], 1, np.zeros((6, 1))),
        (["loss=mse"], 2, np.zeros((6, 2))),
        (CLASSES, 3, labels(0, 1, 2, 0, 1, 2)),
        (CLASSES, 3, labels(0, 1, 2, 0, 1, 2).reshape(6, 1)),
        ([CLASSES[0], "metrics=[accuracy]"], 3, labels(0, 1, 2, 0, 1, 2)),
        (["loss=categorical_crossentropy", "metrics=[accuracy]"], 3, np.eye(6, 3)),
        (["loss=binary_crossentropy", "metrics=[accuracy, auc]"], 1, labels(0, 1, 1, 0, 1, 1)),
        (["loss={name: sparse_categorical_crossentropy, ignore_class: 9}"], 3, labels(*[9, 1] * 3)),
        (["loss=hinge"], 1, labels(-1, 1, 1, -1, 1, 1)),
    ],
)
def test_what_fits_is_let_through(written, arrays, words, units, y):
    activation = "{name: activation, activation: sigmoid}"
    layers = f"[{{name: dense, units: {units}}}, {activation}]"
    model = f"model={{name: sequential, layers: {layers}}}"
    experiment = written(arrays(x=X, y=y), model, *words)

    built = traced(experiment)

    assert built.step.execution.logs["train"].names


def test_what_a_plugin_makes_of_its_labels_is_its_own_affair(written, arrays):
    plugin = (
        STEP
        + """
        def train_step(self, data):
            loss = self.compute_loss(y=tf.one_hot(data[1], 3), y_pred=self(data[0]))
            return {"loss": loss}

        def test_step(self, data):
            return self.train_step(data)
    """
    )
    model = "model={name: sequential, layers: [{name: dense, units: 3, activation: softmax}]}"
    word = arrays(x=X, y=labels(0, 1, 2, 0, 1, 2))

    built = traced(written(word, model, "step=own", "loss=categorical_crossentropy", own=plugin))

    assert built.step.execution.logs["train"].names == ("loss",)


def test_a_metric_that_gives_one_value_a_class_is_a_problem_of_its_key(written, arrays):
    model = "model={name: sequential, layers: [{name: dense, units: 3}]}"
    experiment = written(arrays(x=X, y=np.eye(6, 3)), model, "metrics=[mae, f1_score]")

    with pytest.raises(ConfigError) as caught:
        traced(experiment)

    text = "gives an array of shape (3,), and what is logged is one number; add average: macro."
    assert problems(caught) == [("metrics.1", text)]


def test_what_cannot_run_is_a_problem_of_the_step(written):
    words = "step=gan", "~model", "~loss", "~optimizer"
    networks = "networks={discriminator: linear, generator: {name: linear, input_shape: [4]}}"
    experiment = written(*words, networks, "optimizers={generator: adam}", "data.features=7")

    with pytest.raises(ConfigError) as caught:
        traced(experiment)

    ((path, text),) = problems(caught)
    assert path == "step"
    assert text.startswith("step 'gan' cannot run on these networks and this data: ")
    assert text.count("\n") == 0


def test_a_plugin_that_raises_in_its_step_is_shown_with_its_own_frames_alone(written):
    plugin = (
        STEP
        + """
        def train_step(self, data):
            return {"loss": broken(self(data[0]))}


    def broken(prediction):
        return prediction + "three"
    """
    )

    with pytest.raises(UserCodeError) as caught:
        traced(written("step=own", "~loss", own=plugin))

    assert str(caught.value).startswith(
        ("train_step on the train split: TypeError: ", "train_step on the train split: ValueError")
    )
    assert code(caught.value) == [
        'return {"loss": broken(self(data[0]))}',
        'return prediction + "three"',
    ]


def test_names_that_only_a_trace_can_tell_are_checked_before_the_first_epoch(written):
    plugin = (
        STEP
        + """
        def train_step(self, data):
            return {f"{kind}_error": tf.reduce_mean(self(data[0])) for kind in ("big", "small")}

        def test_step(self, data):
            return self.train_step(data)
    """
    )
    words = (
        *("step=own", "~loss", "data.validation_split=0.5", "checkpoint.monitor=big_eror"),
        *("checkpoint.mode=min", "expect={val_small_error: '> 0', test_big_error: '> 0'}"),
        "callbacks=[{name: early_stopping, monitor: val_medium, mode: min}]",
    )
    built = traced(written(*words, own=plugin))

    with pytest.raises(ConfigError) as caught:
        trace_and_check.check_names(built)

    known = "big_error, small_error, val_big_error, val_small_error"
    assert sorted(problems(caught)) == [
        (
            "callbacks.0.monitor",
            f"'val_medium' is not logged; logged are {known}. Set data.validation_split.",
        ),
        (
            "checkpoint.monitor",
            f"'big_eror' is not logged; logged are {known}. Did you mean 'big_error'?",
        ),
        (
            "expect.test_big_error",
            f"'test_big_error' is not logged; logged are {known}. Did you mean 'big_error'?",
        ),
    ]


RAW = (
    STEP
    + """
        def train_step(self, data):
            return {f"{kind}_error": tf.reduce_mean(self(data[0])) for kind in ("big", "small")}
"""
)


def test_a_step_that_cannot_measure_trains_without_the_test(trained, arrays):
    run = trained(arrays(x=X, y=X, x_test=X, y_test=X), "step=own", "~loss", own=RAW)

    assert set(run.result.metrics) == {"big_error", "small_error"}


def test_a_step_that_cannot_measure_is_not_evaluated(written):
    with pytest.raises(ConfigError) as caught:
        make(written("step=own", "~loss", "~optimizer", own=RAW))

    text = (
        "step 'own' has no test_step, so it cannot be evaluated; write one, or use another step "
        "with --step."
    )
    assert problems(caught) == [("step", text)]
