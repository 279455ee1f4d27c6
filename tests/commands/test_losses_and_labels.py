"""Networks by default, for every loss of Keras and every kind of labels: what they end in, and
that they learn.
"""

import numpy as np
import pytest

from fitx.build.make import make
from fitx.commands.evaluate import EvaluationRequest, evaluate
from fitx.errors import FitxError
from fitx.experiment.check import read, use_step

EXPERIMENT = """
step: supervised
model: {name: mlp, units: [16], activation: tanh}
optimizer: {name: adam, learning_rate: 0.05}
loss: mse
data: {name: npz, path: %s.npz, batch_size: 64, shuffle: false}
fit: {epochs: 30}
execution: {mode: plain}
"""
SPARSE = "sparse_categorical_crossentropy"
FROM_LOGITS = "{name: %s, from_logits: true}"
SUMMARY = "supervised: model mlp, {}, "

X = np.random.default_rng(0).normal(size=(256, 2)).astype("float32")
CLASSES = (X > 0).sum(axis=1)
TWO = (X.sum(axis=1) > 0).astype("int32")
NUMBERS = 3 * np.exp(X @ np.float32([0.3, -0.2]))
LABELS = {
    "classes": CLASSES,
    "two classes": TWO,
    "two classes as floats": TWO.astype("float32"),
    "two classes in a column": TWO[:, None],
    "true and false": TWO.astype(bool),
    "signs": 2 * TWO - 1,
    "one-hot": np.eye(3, dtype="float32")[CLASSES],
    "one-hot integers": np.eye(3, dtype="int64")[CLASSES],
    "several labels a row": (X > 0).astype("int32"),
    "integers": np.round(NUMBERS * 2).astype("int32"),
    "numbers": NUMBERS,
    "columns of numbers": np.stack([NUMBERS, -NUMBERS], axis=1),
    "shares": np.exp(X) / np.exp(X).sum(axis=1, keepdims=True),
}
TABLE = [
    # Labels, loss, what the network ends in, and what the loss falls below.
    ("classes", SPARSE, "3 softmax outputs", 0.1),
    ("classes", FROM_LOGITS % SPARSE, "3 linear outputs", 0.1),
    ("classes", "crossentropy", "3 softmax outputs", 0.1),
    ("classes", "categorical_generalized_cross_entropy", "3 softmax outputs", 0.1),
    ("two classes", SPARSE, "2 softmax outputs", 0.1),
    ("two classes", "binary_crossentropy", "1 sigmoid output", 0.1),
    ("two classes", FROM_LOGITS % "binary_crossentropy", "1 linear output", 0.1),
    ("two classes", "hinge", "1 linear output", 0.1),
    ("two classes", "dice", "1 sigmoid output", 0.1),
    ("two classes as floats", "binary_crossentropy", "1 sigmoid output", 0.1),
    ("two classes as floats", "crossentropy", "1 sigmoid output", 0.1),
    ("two classes as floats", SPARSE, "2 softmax outputs", 0.1),
    ("two classes in a column", "binary_focal_crossentropy", "1 sigmoid output", 0.05),
    ("true and false", "binary_crossentropy", "1 sigmoid output", 0.1),
    ("signs", "squared_hinge", "1 linear output", 0.1),
    ("one-hot", "categorical_crossentropy", "3 softmax outputs", 0.1),
    ("one-hot", "categorical_hinge", "3 linear outputs", 0.1),
    ("one-hot", "tversky", "3 softmax outputs", 0.1),
    ("one-hot integers", FROM_LOGITS % "categorical_crossentropy", "3 linear outputs", 0.1),
    ("one-hot integers", "categorical_focal_crossentropy", "3 softmax outputs", 0.05),
    ("several labels a row", "binary_crossentropy", "2 sigmoid outputs", 0.1),
    ("several labels a row", "dice", "2 sigmoid outputs", 0.1),
    ("integers", "mse", "1 linear output", 0.5),
    ("integers", "huber", "1 linear output", 0.2),
    ("integers", "poisson", "1 softplus output", -4.5),
    ("numbers", "mse", "1 linear output", 0.05),
    ("numbers", "mae", "1 linear output", 0.2),
    ("numbers", "mape", "1 linear output", 10),
    ("numbers", "msle", "1 softplus output", 0.01),
    ("numbers", "log_cosh", "1 linear output", 0.05),
    ("columns of numbers", "mse", "2 linear outputs", 0.3),
    ("columns of numbers", "cosine_similarity", "2 linear outputs", -0.99),
    ("shares", "kl_divergence", "2 softmax outputs", 0.01),
]
REFUSED = [
    # Labels, words, and what is said.
    ("classes", ["loss=binary_crossentropy"], "y lies in [0, 2]; binary_crossentropy takes"),
    ("classes", ["loss=binary_crossentropy"], "class numbers take sparse_categorical_crossentropy"),
    ("classes", ["loss=hinge"], "y lies in [0, 2]; hinge takes -1 and 1, or 0 and 1."),
    ("classes", ["loss=circle"], "takes vectors of length 1, but the network ends in linear;"),
    ("two classes as floats", ["loss=categorical_crossentropy"], "take binary_crossentropy, or"),
    ("several labels a row", ["loss=crossentropy"], "rows that do not add up to 1; write binary_"),
    ("columns of numbers", ["loss=poisson"], "poisson takes no negative values."),
    ("numbers", ["loss=cosine_similarity"], "directions, which one number has none of; take mse."),
    (
        "two classes",
        ["loss=binary_crossentropy", "model.output_activation=linear"],
        "loss: binary_crossentropy takes probabilities, but the network ends in linear; let it end "
        "in sigmoid (`output_activation: sigmoid` of a shipped model), or add from_logits: true.",
    ),
    (
        "classes",
        [f"loss={SPARSE}", "model={name: sequential, layers: [{name: dense, units: 3}]}"],
        "takes probabilities, but the network ends in linear; let it end in softmax",
    ),
    (
        "classes",
        [f"loss={FROM_LOGITS % SPARSE}", "model.output_activation=softmax"],
        "is to take logits, but the network ends in softmax; let it end in linear",
    ),
    (
        "integers",
        ["loss=poisson", "model.output_activation=linear"],
        "takes no negative predictions, but the network ends in linear; let it end in softplus",
    ),
    (
        "two classes",
        ["loss=binary_crossentropy", "model={name: mlp, outputs: 1, output_activation: softmax}"],
        "gets softmax over one output, which is always 1; let it end in sigmoid",
    ),
]
DENSE = "{name: dense, units: %d, activation: %s}"
WORKS = [
    # Labels, loss, and the last layers of networks that do give what the loss takes.
    ("classes", SPARSE, ["{name: dense, units: 3}", "softmax"]),
    ("classes", SPARSE, ["{name: dense, units: 3}", "{name: activation, activation: softmax}"]),
    ("classes", SPARSE, [DENSE % (3, "softplus")]),
    ("one-hot", "categorical_crossentropy", [DENSE % (3, "sigmoid")]),
    ("two classes", "binary_crossentropy", ["{name: dense, units: 1}", "{name: re_lu}"]),
    ("integers", "poisson", [DENSE % (1, "exponential")]),
    ("integers", "poisson", ["{name: dense, units: 1, kernel_constraint: non_neg}"]),
    ("two classes", "hinge", [DENSE % (1, "tanh")]),
]


@pytest.fixture
def on(tmp_path):
    """Write an experiment on labels of a kind, changed by words, and read it."""

    def on(kind, *words):
        name = kind.replace(" ", "_")
        np.savez(tmp_path / f"{name}.npz", x=X, y=LABELS[kind])
        (tmp_path / "e.yaml").write_text(EXPERIMENT % name)
        return read(str(tmp_path / "e.yaml"), words)

    return on


@pytest.mark.parametrize(("labels", "loss", "end", "bound"), TABLE)
def test_a_loss_gets_the_network_it_can_train(on, trained, recording, labels, loss, end, bound):
    display = recording()
    _, result = trained(on(labels, f"loss={loss}"), display)
    assert display.plan.summary.startswith(SUMMARY.format(end))
    assert result.metrics["loss"] < bound


@pytest.mark.parametrize(("labels", "words", "text"), REFUSED)
def test_what_cannot_learn_is_refused_with_the_remedy(on, trained, labels, words, text):
    run, error = trained(on(labels, *words))
    assert run is None
    assert isinstance(error, FitxError), error
    assert text in str(error)


@pytest.mark.parametrize(("labels", "loss", "layers"), WORKS)
def test_a_network_that_gives_what_the_loss_takes_is_let_through(on, labels, loss, layers):
    word = f"model={{name: sequential, layers: [{', '.join(layers)}]}}"
    make(on(labels, word, f"loss={loss}"))


def test_a_step_with_a_loss_of_its_own_says_which_networks_it_trains(on, trained, recording):
    display = recording()
    _, result = trained(on("integers", "step=low_level", "~loss"), display)
    assert display.plan.summary.startswith("low_level: model mlp, 1 linear output, ")
    assert result.metrics["loss"] < 0.5


def test_another_step_measures_the_networks_that_were_trained(on, trained, recording):
    experiment = on("two classes", "loss=binary_crossentropy", "fit.epochs=1")
    run, _ = trained(experiment)
    display = recording()
    measured = evaluate(
        use_step(experiment, "low_level"), EvaluationRequest(run=run.folder), display
    )
    assert "1 sigmoid output" in display.plan.summary
    assert measured.metrics["mae"] < 0.5
