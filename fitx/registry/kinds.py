"""The kinds of parts, and the annotations by which a signature asks for one.

`def sequential(input_shape, *, layers: Sequence[Layer])` takes a list of layer parts;
by the time the function is called they are Keras layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeAlias

from pydantic import PlainValidator, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError, PydanticKnownError

OURS = ("step", "model", "dataset", "callback")
KERAS = (
    "optimizer",
    "schedule",
    "loss",
    "metric",
    "layer",
    "activation",
    "initializer",
    "regularizer",
    "constraint",
)
KINDS = (*OURS, *KERAS)

PART_KEY = "fitx-part"
"""Stands in JSON schemas for a part of the kind it names; `json_schema` puts the kind there."""

FED = {
    "step": {"seed"},
    "model": {"input_shape", "image_shape", "outputs", "output_activation", "seed"},
    "dataset": {"seed"},
    "callback": {"folder", "seed"},
}
"""Parameters that fitx fills where the experiment does not: what the data says, seed, folder."""


@dataclass(frozen=True)
class Part:
    """A named thing with its options, checked but not made; options may hold parts again."""

    kind: str
    name: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def logged_as(self) -> str:
        """The name under which a metric is logged: what `as` says, else its own."""
        return str(self.options.get("as", self.name))


BROKEN = object()
"""Stands in a list for a part that is known to be wrong, so that the others keep their places."""

Check = Callable[[str, str, dict[str, Any], Any], dict[str, Any]]
"""Checks the options of (kind, name) and returns them; found in the validation context."""


def read_part(kind: str, value: Any, info: ValidationInfo) -> Part:
    """Turn `name` or `{name: ..., options}` into a checked Part."""
    if value is BROKEN:
        return Part(kind, "")
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, dict):
        raise PydanticCustomError("expected", f"expected the name of {a(kind)}, or a mapping")
    options = dict(value)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise PydanticCustomError("part_name", f"expected the name of {a(kind)}")
    check: Check = (info.context or {})["check"]
    return Part(kind, name, check(kind, name, options, info))


def a(kind: str) -> str:
    """Return a kind with its article: `an optimizer`."""
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def part_of(kind: str) -> Any:
    """Return the annotation of a part of one kind."""
    return Annotated[
        Any,
        PlainValidator(lambda value, info: read_part(kind, value, info)),
        WithJsonSchema({PART_KEY: kind}),
    ]


def number_or(kind: str) -> Any:
    """Return the annotation of a number of 0 or more, or a part, as a learning rate is."""

    def read(value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _positive(float(value))
        if isinstance(value, dict) or (isinstance(value, str) and not _is_number(value)):
            return read_part(kind, value, info)
        raise PydanticCustomError("number_or_part", f"expected a number or {a(kind)}")

    schema = {"anyOf": [{"type": "number", "minimum": 0}, {PART_KEY: kind}]}
    return Annotated[Any, PlainValidator(read), WithJsonSchema(schema)]


def optional_part_of(kind: str) -> Any:
    """Return the annotation of a part that may be left out with null."""

    def read(value: Any, info: ValidationInfo) -> Part | None:
        return None if value is None else read_part(kind, value, info)

    schema = {"anyOf": [{"type": "null"}, {PART_KEY: kind}]}
    return Annotated[Any, PlainValidator(read), WithJsonSchema(schema)]


def name_of(kind: str) -> Any:
    """Return the annotation of a string that names a part."""

    def read(value: Any, info: ValidationInfo) -> str:
        if not isinstance(value, str):
            raise PydanticCustomError("expected", f"expected the name of {a(kind)}")
        return read_part(kind, value, info).name

    return Annotated[Any, PlainValidator(read), WithJsonSchema({PART_KEY: kind})]


def _positive(value: float) -> float:
    if not math.isfinite(value):
        raise PydanticKnownError("finite_number")
    if value < 0:
        raise PydanticKnownError("greater_than_equal", {"ge": 0})
    return value


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


Layer: TypeAlias = Annotated[Any, "layer"]
Schedule: TypeAlias = Annotated[Any, "schedule"]
Loss: TypeAlias = Annotated[Any, "loss"]
Metric: TypeAlias = Annotated[Any, "metric"]
Optimizer: TypeAlias = Annotated[Any, "optimizer"]
Initializer: TypeAlias = Annotated[Any, "initializer"]
Regularizer: TypeAlias = Annotated[Any, "regularizer"]

PART_ANNOTATIONS = {
    "Layer": "layer",
    "Schedule": "schedule",
    "Loss": "loss",
    "Metric": "metric",
    "Optimizer": "optimizer",
    "Initializer": "initializer",
    "Regularizer": "regularizer",
}
"""What each name above means where a signature uses it."""
