"""Every metric of Keras on every kind of labels: the right value, or a refusal before training."""

import numpy as np
import pytest

from fitx.errors import FitxError
from fitx.experiment.check import read
from fitx.registry import keras_parts

EXPERIMENT = """
step: supervised
model: linear
optimizer: {name: sgd, learning_rate: 0.0}
loss: %s
data: {name: npz, path: %s.npz, batch_size: 16, shuffle: false}
fit: {epochs: 0}
"""
X = np.random.default_rng(3).normal(size=(50, 2)).astype("float32")
CLASSES = (X > 0).sum(axis=1)
TWO = (CLASSES > 1).astype("int32")
KINDS = {
    "classes": (CLASSES, "sparse_categorical_crossentropy"),
    "two": (TWO, "binary_crossentropy"),
    "two_floats": (TWO.astype("float32"), "binary_crossentropy"),
    "one_hot": (np.eye(3, dtype="float32")[CLASSES], "categorical_crossentropy"),
    "soft": (np.eye(3, dtype="float32")[CLASSES] * 0.7 + 0.1, "categorical_crossentropy"),
    "several": ((X > 0).astype("int32"), "binary_crossentropy"),
    "numbers": (X[:, 0] + 3, "mse"),
    "column": (X[:, :1] + 3, "mse"),
    "columns": (X + 3, "mse"),
}
OPTIONS = {
    **dict.fromkeys(("f1_score", "f_beta_score"), {"average": "macro"}),
    **dict.fromkeys(("iou", "one_hot_iou"), {"num_classes": 3, "target_class_ids": [1]}),
    **dict.fromkeys(("mean_iou", "one_hot_mean_iou"), {"num_classes": 3}),
    "precision_at_recall": {"recall": 0.5},
    "recall_at_precision": {"precision": 0.5},
    "sensitivity_at_specificity": {"specificity": 0.5},
    "specificity_at_sensitivity": {"sensitivity": 0.5},
    "sparse_top_k_categorical_accuracy": {"k": 2},
    "top_k_categorical_accuracy": {"k": 2},
}
BY_NUMBER = {
    *("mean_absolute_error", "mean_squared_error", "root_mean_squared_error", "r2_score"),
    *("mean_absolute_percentage_error", "mean_squared_logarithmic_error", "log_cosh_error"),
    *("hinge", "squared_hinge", "categorical_hinge", "cosine_similarity"),
}
YES_OR_NO = {
    *("auc", "binary_accuracy", "binary_crossentropy", "binary_iou", "precision", "recall"),
    *("true_positives", "true_negatives", "false_positives", "false_negatives"),
    *("precision_at_recall", "recall_at_precision"),
    *("sensitivity_at_specificity", "specificity_at_sensitivity"),
}
OF_ROWS = {"kl_divergence", "concordance_correlation", "pearson_correlation"}
OF_CLASSES = {
    *("categorical_accuracy", "top_k_categorical_accuracy", "f1_score", "f_beta_score"),
    *("one_hot_iou", "one_hot_mean_iou"),
}
FIT = {
    "classes": {"accuracy", *(n for n in keras_parts.names("metric") if n.startswith("sparse_"))},
    "two": {"accuracy", "poisson", *BY_NUMBER, *YES_OR_NO},
    "two_floats": {"accuracy", "poisson", *BY_NUMBER, *YES_OR_NO},
    "one_hot": {
        *("accuracy", "poisson", "categorical_crossentropy"),
        *((BY_NUMBER | YES_OR_NO | OF_ROWS | OF_CLASSES) - {"binary_crossentropy"}),
    },
    "soft": {
        *("accuracy", "poisson", "categorical_crossentropy"),
        *("categorical_accuracy", "top_k_categorical_accuracy", *BY_NUMBER, *OF_ROWS),
    },
    "several": {"poisson", "kl_divergence", *BY_NUMBER, *YES_OR_NO},
    "numbers": BY_NUMBER,
    "column": BY_NUMBER,
    "columns": {
        *("concordance_correlation", "pearson_correlation"),
        *("categorical_accuracy", "top_k_categorical_accuracy", *BY_NUMBER),
    },
}
"""The metrics that say something of labels of a kind."""


def shares(y, p):
    """Return true and false positives, true and false negatives, of numbers from 0 to 1."""
    yes, said = y.astype(bool), p > 0.5
    return [(yes & said).sum(), (~yes & said).sum(), (~yes & ~said).sum(), (yes & ~said).sum()]


def area(y, p):
    """Return the chance that a yes is above a no, which the area under the ROC curve is."""
    above, below = p[y > 0.5][:, None], p[y < 0.5][None, :]
    return (above > below).mean() + (above == below).mean() / 2


def r2(y, p):
    return (1 - ((y - p) ** 2).sum(0) / ((y - y.mean(0)) ** 2).sum(0)).mean()


def f1(y, p):
    said = p == p.max(axis=1, keepdims=True)
    hit, wrong = (said & (y == 1)).sum(0), (said != (y == 1)).sum(0)
    return (2 * hit / np.maximum(2 * hit + wrong, 1)).mean()


def overlap(y, said):
    both, either = (y == 1) & said, (y == 1) | said
    return both.sum(0) / np.maximum(either.sum(0), 1)


def correlation(y, p):
    return np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(y, p, strict=True)])


def concordance(y, p):
    (a, b), deviations = (y.mean(1), p.mean(1)), (y - y.mean(1)[:, None], p - p.mean(1)[:, None])
    together = (deviations[0] * deviations[1]).mean(1)
    return (2 * together / (y.var(1) + p.var(1) + (a - b) ** 2)).mean()


def cosine(y, p):
    lengths = np.maximum(np.linalg.norm(y, axis=1) * np.linalg.norm(p, axis=1), 1e-12)
    return ((y * p).sum(1) / lengths).mean()


def binary_overlap(y, p):
    return np.mean([overlap(y.reshape(-1) == k, (p > 0.5).reshape(-1) == k) for k in (0, 1)])


def categorical_hinge(y, p):
    return np.maximum(((1 - y) * p).max(1) - (y * p).sum(1) + 1, 0).mean()


def divergence(y, p):
    y, p = np.clip(y, 1e-7, 1), np.clip(p, 1e-7, 1)
    return (y * np.log(y / p)).sum(1).mean()


def cross(y, p):
    return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()


def signs(y):
    return 2 * y - 1 if np.isin(y, (0, 1)).all() else y


VALUES = {
    "mean_absolute_error": lambda y, p: abs(y - p).mean(),
    "mean_squared_error": lambda y, p: ((y - p) ** 2).mean(),
    "root_mean_squared_error": lambda y, p: ((y - p) ** 2).mean() ** 0.5,
    "r2_score": r2,
    "mean_absolute_percentage_error": lambda y, p: (
        100 * (abs(y - p) / np.maximum(abs(y), 1e-7)).mean()
    ),
    "mean_squared_logarithmic_error": lambda y, p: (
        (np.log1p(np.maximum(y, 1e-7)) - np.log1p(np.maximum(p, 1e-7))) ** 2
    ).mean(),
    "cosine_similarity": cosine,
    "categorical_hinge": categorical_hinge,
    "kl_divergence": divergence,
    "concordance_correlation": concordance,
    "binary_iou": binary_overlap,
    "top_k_categorical_accuracy": lambda y, p: (
        (np.argsort(p, 1)[:, -2:] == y.argmax(1)[:, None]).any(1).mean()
    ),
    "log_cosh_error": lambda y, p: np.log(np.cosh(y - p)).mean(),
    "hinge": lambda y, p: np.maximum(1 - signs(y) * p, 0).mean(),
    "squared_hinge": lambda y, p: (np.maximum(1 - signs(y) * p, 0) ** 2).mean(),
    "poisson": lambda y, p: (p - y * np.log(p)).mean(),
    "auc": area,
    "binary_accuracy": lambda y, p: (y == (p > 0.5)).mean(),
    "binary_crossentropy": cross,
    "precision": lambda y, p: (n := shares(y, p))[0] / max(n[0] + n[1], 1),
    "recall": lambda y, p: (n := shares(y, p))[0] / (n[0] + n[3]),
    "true_positives": lambda y, p: shares(y, p)[0],
    "false_positives": lambda y, p: shares(y, p)[1],
    "true_negatives": lambda y, p: shares(y, p)[2],
    "false_negatives": lambda y, p: shares(y, p)[3],
    "categorical_accuracy": lambda y, p: (y.argmax(1) == p.argmax(1)).mean(),
    "f1_score": f1,
    "f_beta_score": f1,
    "one_hot_mean_iou": lambda y, p: overlap(y, p == p.max(1, keepdims=True)).mean(),
    "categorical_crossentropy": lambda y, p: -(y * np.log(p)).sum(1).mean(),
    "one_hot_iou": lambda y, p: overlap(y, p == p.max(1, keepdims=True))[1],
    "pearson_correlation": correlation,
    "sparse_categorical_accuracy": lambda y, p: (y[:, 0] == p.argmax(1)).mean(),
    "sparse_top_k_categorical_accuracy": lambda y, p: (np.argsort(p, 1)[:, -2:] == y).any(1).mean(),
    "sparse_categorical_crossentropy": lambda y, p: (
        -np.log(np.take_along_axis(p, y.astype(int), 1)).mean()
    ),
}
"""What NumPy says of labels (rows, k) and predictions (rows, k)."""


@pytest.fixture(params=KINDS)
def kind(request):
    """A kind of labels."""
    return request.param


@pytest.fixture
def with_metrics(tmp_path, trained):
    """Measure a network of no training by metrics; return the run and the result or the error."""

    def with_metrics(kind, *metrics, loss=None):
        y, usual = KINDS[kind]
        halves = {"x": X, "y": y, "x_test": X, "y_test": y}
        np.savez(tmp_path / f"{kind}.npz", **halves)
        (tmp_path / "e.yaml").write_text(EXPERIMENT % (loss or usual, kind))
        return trained(read(str(tmp_path / "e.yaml"), [f"metrics=[{', '.join(metrics)}]"]))

    return with_metrics


def part(name):
    options = "".join(f", {key}: {value}" for key, value in OPTIONS.get(name, {}).items())
    return f"{{name: {name}{options}}}" if options else name


def test_a_metric_says_what_numpy_says_or_is_refused(with_metrics, kind):
    import keras

    names = keras_parts.names("metric")
    refused = set(names) - FIT[kind] | {"Accuracy"}
    _, error = with_metrics(kind, *map(part, refused))
    assert isinstance(error, FitxError)
    for name in refused:
        alone = with_metrics(kind, part(name))[1]
        assert isinstance(alone, FitxError), name
        assert name in str(alone)

    run, result = with_metrics(kind, *(part(name) for name in names if name in FIT[kind]))
    y = KINDS[kind][0].astype("float64").reshape(len(X), -1)
    network = keras.saving.load_model(run.folder / "networks" / "model.keras", compile=False)
    p = network.predict(X, verbose=0).astype("float64")
    found = {name: result.metrics[f"test_{name}"] for name in FIT[kind] & VALUES.keys()}
    expected = {name: VALUES[name](y, p) for name in found}
    # Keras reads the area off 200 thresholds.
    assert found.pop("auc", 0) == pytest.approx(expected.pop("auc", 0), abs=0.02)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "metric", "remedy"),
    [
        ("classes", "{name: mean_iou, num_classes: 3}", "add sparse_y_pred: false"),
        (
            "one_hot",
            "{name: mean_iou, num_classes: 3, sparse_y_pred: false}",
            "add sparse_y_true: false",
        ),
        (
            "classes",
            "{name: mean_iou, num_classes: 4, sparse_y_pred: false}",
            "write num_classes: 3",
        ),
        ("two", "{name: f1_score, average: macro}", "add threshold: 0.5"),
        ("several", "{name: f1_score, average: macro}", "add threshold: 0.5"),
        ("several", "accuracy", "write binary_accuracy"),
        ("two", "mean_iou", "binary_iou"),
    ],
)
def test_a_refused_metric_names_its_remedy(with_metrics, kind, metric, remedy):
    if metric == "mean_iou":
        metric = "{name: mean_iou, num_classes: 2}"
    _, error = with_metrics(kind, metric)
    assert remedy in str(error)


LOGITS = "{name: binary_crossentropy, from_logits: true}"


@pytest.mark.parametrize(
    ("metric", "remedy"),
    [
        ("accuracy", "{name: binary_accuracy, threshold: 0.0}"),
        ("precision", "{name: precision, thresholds: 0.0}"),
        ("auc", "{name: auc, from_logits: true}"),
        ("binary_crossentropy", LOGITS),
    ],
)
def test_logits_are_measured_by_metrics_that_are_told_so(with_metrics, metric, remedy):
    _, error = with_metrics("two", metric, loss=LOGITS)
    assert remedy.partition(",")[2].strip(" }") in str(error)
    _, result = with_metrics("two", remedy, loss=LOGITS)
    assert not isinstance(result, FitxError), result


def test_mean_iou_counts_the_classes_of_scores(with_metrics):
    run, result = with_metrics("classes", "{name: mean_iou, num_classes: 3, sparse_y_pred: false}")
    import keras

    network = keras.saving.load_model(run.folder / "networks" / "model.keras", compile=False)
    said = np.eye(3)[network.predict(X, verbose=0).argmax(1)] == 1
    expected = overlap(np.eye(3)[CLASSES], said).mean()
    assert result.metrics["test_mean_iou"] == pytest.approx(expected, abs=1e-6)
