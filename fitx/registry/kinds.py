"""Kinds of parts, and the annotations with which a signature takes parts as options.

`def sequential(input_shape, *, layers: Sequence[Layer])` takes a list of layers: parts in the
experiment file, Keras layers when the function is called.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeAlias

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    TypeAdapter,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError, PydanticKnownError
from typing_extensions import TypedDict

FITX_KINDS = ("step", "model", "dataset", "callback")
KERAS_KINDS = (
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
KINDS = (*FITX_KINDS, *KERAS_KINDS)

SHARED_OPTIMIZER = "optimizer"
"""The name of an optimizer that trains all networks of a step; no network can have it."""


PART_KEY = "fitx-part"
"""Key in JSON schemas whose value is a kind of part; `json_schema` replaces it by a reference."""

FILLED_BY_FITX = {
    "step": {"seed", "total_steps", "steps_per_epoch"},
    "model": {"input_shape", "image_shape", "outputs", "output_activation", "seed"},
    "dataset": {"seed"},
    "callback": {"folder", "examples", "seed"},
}
"""Parameters that fitx fills if the experiment does not: shapes of data, seed, steps, folder."""

ZIP = "zip"
"""The dataset that reads others side by side; each of these has the options of its batches."""


@dataclass(frozen=True)
class Part:
    """A part of an experiment: its kind, name and checked options, which may contain parts."""

    kind: str
    name: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def logged_as(self) -> str:
        """The name under which a metric is logged: its option `as`, or its own name."""
        return str(self.options.get("as", self.name))


@dataclass(frozen=True)
class CopyOf:
    """A network with the part and the initial weights of another network.

    Args:
        network: Name of the other network.
    """

    network: str


INVALID_PART = object()
"""Replaces an invalid part in a list, so that the indices of the others stay the same."""


@dataclass(frozen=True)
class PartWithWrongOptions:
    """Replaces a part whose options are wrong, so that checks of its name take place."""

    name: str


Check = Callable[[str, str, dict[str, Any], Any], dict[str, Any]]
"""Checks the options of a part, given (kind, name, options, info); kept in pydantic's context."""


def read_part(kind: str, value: Any, info: ValidationInfo) -> Part:
    """Read `name` or `{name: ..., options}` as a checked part."""
    if value is INVALID_PART:
        return Part(kind, "")
    if isinstance(value, PartWithWrongOptions):
        return Part(kind, value.name)
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, dict):
        raise PydanticCustomError(
            "expected", f"expected the name of {with_article(kind)}, or a mapping"
        )
    options = dict(value)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise PydanticCustomError("part_name", f"expected the name of {with_article(kind)}")
    check: Check = (info.context or {})["check"]
    return Part(kind, name, check(kind, name, options, info))


def is_part(value: object) -> bool:
    """Return whether a value is written as a part: as a name, or as a mapping with a name."""
    return isinstance(value, str) or (isinstance(value, dict) and "name" in value)


def with_article(kind: str) -> str:
    """Return a kind with its article, as in `an optimizer`."""
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def part_of(kind: str) -> Any:
    """Return the annotation of a part of one kind."""
    return Annotated[
        Any,
        PlainValidator(lambda value, info: read_part(kind, value, info)),
        WithJsonSchema({PART_KEY: kind}),
    ]


def number_or(kind: str) -> Any:
    """Return the annotation of a number of at least 0 or a part, such as a learning rate."""

    def read(value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _positive(float(value))
        if isinstance(value, dict) or (isinstance(value, str) and not _is_number(value)):
            return read_part(kind, value, info)
        raise PydanticCustomError("number_or_part", f"expected a number or {with_article(kind)}")

    schema = {"anyOf": [{"type": "number", "minimum": 0}, {PART_KEY: kind}]}
    return Annotated[Any, PlainValidator(read), WithJsonSchema(schema)]


def optional_part_of(kind: str) -> Any:
    """Return the annotation of a part or null."""

    def read(value: Any, info: ValidationInfo) -> Part | None:
        return None if value is None else read_part(kind, value, info)

    schema = {"anyOf": [{"type": "null"}, {PART_KEY: kind}]}
    return Annotated[Any, PlainValidator(read), WithJsonSchema(schema)]


class _NetworkCopy(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[misc]
    copy_of: Annotated[
        str, Field(description="Name of the network to copy; copies are not trained.")
    ]


def model_or_copy() -> Any:
    """Return the annotation of a network: a model, or `{copy_of: NETWORK}`."""
    copy = TypeAdapter(_NetworkCopy)

    def read(value: Any, info: ValidationInfo) -> Part | CopyOf:
        if isinstance(value, dict) and "copy_of" in value:
            return CopyOf(copy.validate_python(value)["copy_of"])
        return read_part("model", value, info)

    schema = {"anyOf": [{PART_KEY: "model"}, copy.json_schema()]}
    return Annotated[Any, PlainValidator(read), WithJsonSchema(schema)]


def model_or_models() -> Any:
    """Return the annotation of a network as `model_or_copy` has it, or of a list of models."""
    single: Any = Annotated[model_or_copy(), Tag("one")]
    several: Any = Annotated[list[part_of("model")], Tag("list")]  # type: ignore[valid-type, misc]
    tell_apart = Discriminator(lambda value: "list" if isinstance(value, list) else "one")
    return Annotated[single | several, tell_apart]


def name_of(kind: str) -> Any:
    """Return the annotation of the name of a part without options."""

    def read(value: Any, info: ValidationInfo) -> str:
        if not isinstance(value, str):
            raise PydanticCustomError("expected", f"expected the name of {with_article(kind)}")
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
Dataset: TypeAlias = Annotated[Any, "dataset"]

PART_ANNOTATIONS = {
    "Layer": "layer",
    "Schedule": "schedule",
    "Loss": "loss",
    "Metric": "metric",
    "Optimizer": "optimizer",
    "Initializer": "initializer",
    "Regularizer": "regularizer",
    "Dataset": "dataset",
}
"""The kinds of parts that these annotations mean."""
