"""Pydantic models for JSON files, with errors that name the invalid field."""

from __future__ import annotations

import json
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MOST_TEXT = 60
"""The longest value or key that an error shows, in characters."""

NOT_FINITE = ("nan", "inf", "-inf")
"""Texts for the floats that JSON lacks."""

_EXPECTED = {
    **dict.fromkeys(("model_type", "dict_type"), "an object"),
    "list_type": "a list",
    "string_type": "a string",
    "int_type": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
}

Count = Annotated[int, Field(ge=0, lt=10**18)]
Seconds = Annotated[float, Field(ge=0, le=1e10)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Model(BaseModel):
    """A strict model: exact types and ranges, and no unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


M = TypeVar("M", bound=Model)


def parse_model(model: type[M], value: Any, at: str = "") -> M:
    """Return a value from a file as a model.

    Args:
        model: The expected model.
        value: The parsed value.
        at: The field that holds the value; empty for a whole file.

    Raises:
        ValueError: The first invalid field, such as `data.train.rows` or `resumed[0].at`, the
            expected and the actual value.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(_message(first, at)) from error


def shown(value: Any) -> str:
    """Return a value as one short line for an error."""
    text = json.dumps(value, default=str)
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 3]}..."


def _message(error: Any, at: str) -> str:
    where, kind = _path((*([at] if at else []), *error["loc"])), error["type"]
    if kind == "missing":
        return f"{where}: missing"
    if kind == "extra_forbidden":
        return f"{where}: unknown; this version of fitx writes no such field"
    prefix = f"{where}: " if where else ""
    if kind == "value_error":
        return f"{prefix}{error['ctx']['error']}"
    expected = _EXPECTED.get(kind) or str(error["msg"]).removeprefix("Input should be ")
    return f"{prefix}expected {expected}, found {shown(error['input'])}"


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for step in location:
        if step == "[key]":
            continue
        text = shown(step)[1:-1] if isinstance(step, str) else ""
        path += f"[{step}]" if isinstance(step, int) else f".{text}"
    return path.removeprefix(".")
