"""Types of the arguments of a step's own `compile`, told by their annotations and names."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import PlainValidator, ValidationInfo, WithJsonSchema

from fitx.registry import kinds
from fitx.registry.annotations import type_of
from fitx.registry.signature import Parameter

_WORDS = (
    ("schedule", "schedule"),
    ("learning_rate", "schedule"),
    ("metric", "metric"),
    ("loss", "loss"),
    ("optim", "optimizer"),
    ("opt", "optimizer"),
)
"""Words in the names of arguments, and the kinds of the parts that these take."""


def compile_type(parameter: Parameter) -> Any:
    """Return the type of an argument: a part for an optimizer, a loss or a metric, else a value.

    An annotation other than that of a part counts more than the name, as in `loss_weight: float`.
    """
    annotation = parameter.annotation
    annotated = type_of(annotation, parameter.name) if annotation is not None else Any
    if annotated is not Any:
        return annotated
    kind = kind_of(parameter.name)
    return Any if kind is None else parts_of(kind)


def kind_of(name: str) -> str | None:
    """Return the kind of the parts that an argument of this name takes; None for plain values."""
    words = name.lower().split("_")
    if words[-1] in ("weight", "weights", "scale", "factor", "name"):
        return None
    for word, kind in _WORDS:
        is_short = word == "opt"
        if word in words if is_short else word in name.lower():
            return kind
    return None


def parts_of(kind: str) -> Any:
    """Return the annotation of a part, or of lists and mappings of parts, numbers and nulls."""

    def read(value: Any, info: ValidationInfo) -> Any:
        if kinds.is_part(value):
            return kinds.read_part(kind, value, info)
        if isinstance(value, dict):
            return {name: read(item, info) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [read(item, info) for item in value]
        return value

    schema = {"anyOf": [{kinds.PART_KEY: kind}, {"type": ["number", "array", "object", "null"]}]}
    return Annotated[Any, PlainValidator(read), WithJsonSchema(schema)]
