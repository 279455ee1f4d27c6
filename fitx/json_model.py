"""Pydantic models of the JSON files that fitx reads back, and errors that name the wrong field."""

from __future__ import annotations

import json
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MOST_TEXT = 60
"""Characters of a wrong value or of a key that an error shows."""

NOT_FINITE = ("nan", "inf", "-inf")
"""Texts that stand for the floats that JSON lacks."""

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
    """Fields of exactly the types, and in the ranges, that fitx writes; no others."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


M = TypeVar("M", bound=Model)


def demand(model: type[M], value: Any, at: str = "") -> M:
    """Return the model of a value that was read from a file.

    Args:
        model: What the value is to be.
        value: What was read.
        at: The field that holds the value; empty if the file holds nothing else.

    Raises:
        ValueError: Names the first field that is wrong, as `data.train.rows` or `resumed[0].at`,
            what is expected there and what was found.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(_told(first, at)) from error


def found(value: Any) -> str:
    """Return a value as an error shows it, on one line and not at length."""
    text = json.dumps(value, default=str)
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 3]}..."


def _told(error: Any, at: str) -> str:
    where, kind = _path((*([at] if at else []), *error["loc"])), error["type"]
    if kind == "missing":
        return f"{where}: missing"
    if kind == "extra_forbidden":
        return f"{where}: unknown; this version of fitx writes no such field"
    prefix = f"{where}: " if where else ""
    if kind == "value_error":
        return f"{prefix}{error['ctx']['error']}"
    expected = _EXPECTED.get(kind) or str(error["msg"]).removeprefix("Input should be ")
    return f"{prefix}expected {expected}, found {found(error['input'])}"


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for step in location:
        if step == "[key]":
            continue
        shown = found(step)[1:-1] if isinstance(step, str) else ""
        path += f"[{step}]" if isinstance(step, int) else f".{shown}"
    return path.removeprefix(".")
