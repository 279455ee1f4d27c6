"""Modules in which Keras' source text is read."""

import importlib

import keras
import pytest

from fitx.compat.keras_source import RESOLVED_BY_SHAPE, SHARED_TEXTS, SHORT_NAMES
from fitx.registry import keras_parts
from fitx.registry.part_index import PartIndex

KNOWN = {
    "loss": {"mse", "mae", "bce"},
    "metric": {"mse", "mape", "cosine_similarity"},
    "regularizer": {"l1", "l2", "l1l2"},
    "initializer": {"normal", "uniform", "zeros"},
}


@pytest.mark.parametrize("kind", SHORT_NAMES)
def test_keras_still_keeps_short_names_in_dictionaries(kind):
    importlib.import_module(SHORT_NAMES[kind])
    names = {*keras_parts.aliases(kind), *keras_parts.names(kind)}

    assert names >= KNOWN[kind]


@pytest.mark.parametrize(
    ("kind", "name", "resolved"),
    [("loss", "crossentropy", "binary_crossentropy"), ("metric", "accuracy", "BinaryAccuracy")],
)
def test_keras_still_resolves_names_by_shapes_in_compile_utils(kind, name, resolved):
    module, function = RESOLVED_BY_SHAPE[kind]
    y = keras.KerasTensor((None, 1))

    found = getattr(importlib.import_module(module), function)(name, y, y)

    assert resolved in (getattr(getattr(found, "fn", None), "__name__", ""), type(found).__name__)
    assert name in keras_parts.SHAPE_DEPENDENT[kind]


def test_keras_still_shares_texts_of_docstrings_by_constants():
    for name, module in SHARED_TEXTS.items():
        assert "weight_decay" in getattr(importlib.import_module(module), name)
    assert "weight_decay: Float. If set" in PartIndex().signature("optimizer", "adam").doc
