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
    ("kind", "expected"), [("loss", "binary_crossentropy"), ("metric", "BinaryAccuracy")]
)
def test_keras_still_resolves_names_by_shapes_in_compile_utils(kind, expected):
    module, function = RESOLVED_BY_SHAPE[kind]
    y = keras.KerasTensor((None, 1))

    for name in keras_parts.SHAPE_DEPENDENT[kind]:
        part = getattr(importlib.import_module(module), function)(name, y, y)
        wrapped = getattr(getattr(part, "fn", None), "__name__", "")
        assert expected in (wrapped, type(part).__name__), name


def test_keras_still_shares_texts_of_docstrings_by_constants():
    for name, module in SHARED_TEXTS.items():
        assert "weight_decay" in getattr(importlib.import_module(module), name)
    assert "weight_decay: Float. If set" in PartIndex().signature("optimizer", "adam").doc
