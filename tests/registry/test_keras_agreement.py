"""Compares what is read from Keras' source with the installed Keras."""

import inspect

import keras
import pytest

from fitx.build.make_parts import class_of
from fitx.registry import keras_parts
from fitx.registry.kinds import Part
from fitx.registry.part_index import PartIndex

KINDS = sorted(set(keras_parts._MODULES) - {"activation"})


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_of_keras_is_known_and_what_it_needs_is_required(kind):
    part_index = PartIndex()
    for cls in keras_parts.classes(kind):
        made = class_of(Part(kind, cls))
        assert made.__name__ == part_index.signature(kind, cls).title
        own = dict(inspect.signature(made.__init__).parameters)
        own.pop("self"), own.pop("name", None)
        named = {
            n: p for n, p in own.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        }
        read = {p.name: p for p in part_index.signature(kind, cls).parameters}
        assert named.keys() <= read.keys(), cls
        required = {name for name, p in named.items() if p.default is p.empty}
        assert required == {name for name, p in read.items() if p.required}, cls
        if not any(p.kind is p.VAR_KEYWORD for p in own.values()):
            assert named.keys() == read.keys(), cls


def test_keywords_of_the_bases_are_taken_by_keras():
    options = {"trainable": False, "dtype": "float32", "autocast": True}
    layer = keras.layers.LSTM(3, activity_regularizer="l2", unroll=True, **options)
    assert layer.units == 3
    taken = {p.name for p in PartIndex().signature("layer", "lstm").parameters}
    assert {*options, "activity_regularizer", "unroll", "units"} <= taken
    assert "cell" not in taken


@pytest.mark.parametrize("kind", ["loss", "metric", "regularizer", "initializer"])
def test_short_names_are_those_of_keras(kind):
    get = {
        "loss": keras.losses.get,
        "metric": keras.metrics.get,
        "regularizer": keras.regularizers.get,
        "initializer": keras.initializers.get,
    }[kind]
    special = keras_parts.SHAPE_DEPENDENT.get(kind, ())
    for name in keras_parts.aliases(kind):
        if name not in special:
            found = get(name)
            title = found.__name__ if inspect.isfunction(found) else type(found).__name__
            meant = keras_parts.class_name(kind, name)
            assert keras_parts.without_case(title) == keras_parts.without_case(meant)
