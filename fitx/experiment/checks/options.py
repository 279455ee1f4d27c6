"""Options of parts, checked against the signatures of what they will be handed to."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NotRequired, Required, get_args

from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError, ValidationInfo
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ErrorType
from typing_extensions import TypedDict

from fitx.experiment.problems import closest, listed, nearest
from fitx.registry import keras_parts, python_source
from fitx.registry.kinds import FILLED_BY_FITX, FITX_KINDS, with_article
from fitx.registry.part_index import PartIndex
from fitx.registry.signature import Parameter, Signature, read_signature

_CONFIG = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class OptionCheck:
    """Checks the options of one part; parts inside parts come back to it through pydantic."""

    def __init__(self, part_index: PartIndex) -> None:
        self.part_index = part_index
        self._adapters: dict[tuple[str, str], TypeAdapter[dict[str, Any]]] = {}

    def __call__(
        self, kind: str, name: str, options: dict[str, Any], info: ValidationInfo
    ) -> dict[str, Any]:
        """Return the checked options. Raises pydantic errors that say what is wrong."""
        signature = self.part_index.signature(kind, name)
        unread = self.part_index.unread
        if name in unread or (signature is None and closest(name, unread)):
            raise _error("unread_part", "")
        if signature is None:
            raise _error("unknown_part", self._unknown(kind, name))
        if kind == "activation" or name in keras_parts.SHAPE_DEPENDENT.get(kind, ()):
            return self._without_options(kind, name, options)
        try:
            return self._adapter(signature).validate_python(options, context=info.context)
        except ValidationError as error:
            raise _translated(error, signature) from error

    def _without_options(self, kind: str, name: str, options: dict[str, Any]) -> dict[str, Any]:
        """Refuse any option of a part that takes none; an activation's own is what it is fed."""
        if options and kind == "activation":
            text = f"the activation '{name}' takes no options here; a layer of its own may."
            raise _error("refused", text)
        if options:
            raise _error("refused", _for_any_shape(kind, name, self.part_index))
        return {}

    def _adapter(self, signature: Signature) -> TypeAdapter[dict[str, Any]]:
        key = signature.kind, signature.name
        if key not in self._adapters:
            self._adapters[key] = TypeAdapter(schema_of(signature))
        return self._adapters[key]

    def _unknown(self, kind: str, name: str) -> str:
        reason = keras_parts.refusal_reason(kind, name)
        if reason:
            return f"the {kind} '{name}' has no place in fitx: {reason}."
        file_name = self.part_index.registered_as(kind, name)
        if file_name:
            return f"a part goes by the name of its file: '{name}' is '{file_name}'."
        others = self.part_index.kinds_of(name)
        if others:
            return f"no {kind} is called '{name}'; that is {with_article(others[0])}."
        hint = nearest(name, self.part_index.spellings(kind))
        return f"no {kind} is called '{name}'.{hint or f' `fitx list {kind}` names all.'}"


def _logged_name(value: Any) -> Any:
    is_name = isinstance(value, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", value)
    if not is_name or value == "loss" or value.startswith(("val_", "test_")):
        expected = "expected a name of letters, digits and '_', not 'loss', without val_ or test_"
        raise PydanticCustomError("expected", expected)
    return value


_AS = Parameter(
    name="as",
    type=Annotated[str, BeforeValidator(_logged_name)],
    text="as: str",
    required=False,
    positional=False,
    description="The name under which the metric is logged.",
)
"""The option of every metric that names it in what is logged, so that one may stand twice."""


def accepted(signature: Signature) -> tuple[Parameter, ...]:
    """Return what the experiment file may set: all but the parameters that only fitx fills."""
    if signature.kind == "step":
        return signature.options
    if signature.kind == "callback":
        only_fitx = FILLED_BY_FITX["callback"]
        return tuple(p for p in signature.parameters if not (p.positional and p.name in only_fitx))
    if signature.kind == "metric":
        return (*signature.parameters, _AS)
    return (*signature.parameters, *(batch_options() if signature.kind == "dataset" else ()))


@cache
def batch_options() -> tuple[Parameter, ...]:
    """Return the options that every dataset part has: batch size, shuffling, weights."""
    path = Path(__file__).parents[2] / "data" / "prepare.py"
    found = python_source.find(python_source.read(path), "prepare")
    options = read_signature("dataset", "prepare", found).options if found else ()
    return tuple(p for p in options if p.name != "seed")


def schema_of(signature: Signature) -> Any:
    """Return the type of a part's options, a TypedDict that pydantic validates."""
    fed = FILLED_BY_FITX.get(signature.kind, set())
    fields: dict[str, Any] = {
        p.name: Required[p.type] if p.required and p.name not in fed else NotRequired[p.type]
        for p in accepted(signature)
    }
    make: Any = TypedDict
    options = make("options", fields)
    options.__pydantic_config__ = _CONFIG
    return options


def _translated(error: ValidationError, signature: Signature) -> ValidationError:
    """Return the error with unknown and missing options explained in the part's own terms."""
    details = []
    items = error.errors()
    unknown = [str(i["loc"][0]) for i in items if i["type"] == "extra_forbidden" and _here(i)]
    for item in items:
        kind: PydanticCustomError | str = item["type"]
        if _here(item) and kind == "extra_forbidden":
            kind = _unknown_option(signature, str(item["loc"][0]))
        elif _here(item) and kind == "missing":
            if closest(str(item["loc"][0]), unknown):
                # The same mistake again: the option is there, but misspelt.
                continue
            kind = _error("missing_option", f"missing; {_called(signature)} needs it.")
        elif kind not in _KNOWN_TYPES:
            kind = _error(str(kind), item["msg"])
        detail = InitErrorDetails(type=kind, loc=item["loc"], input=item["input"])
        if isinstance(kind, str) and "ctx" in item:
            detail["ctx"] = item["ctx"]
        details.append(detail)
    return ValidationError.from_exception_data(signature.title, details)


def _for_any_shape(kind: str, name: str, part_index: PartIndex) -> str:
    word = "accuracy" if name.startswith("acc") else "crossentropy"
    meant = [f"{sort}_{word}" for sort in ("binary", "categorical", "sparse_categorical")]
    known = [each for each in meant if part_index.find(kind, each)]
    text = f"'{name}' fits itself to the shapes and takes no options; to set some, write "
    return f"{text}{listed(known[:-1])} or {known[-1]}."


def _called(signature: Signature) -> str:
    """Return what a part goes by: ours by its name, Keras' by its class."""
    return signature.name if signature.kind in FITX_KINDS else signature.title


def _here(item: Any) -> bool:
    """Whether an error is about an option of the part itself, not of one inside it."""
    return len(item["loc"]) == 1


def _unknown_option(signature: Signature, option: str) -> PydanticCustomError:
    misplaced = [p for p in signature.misplaced_settings if p.name == option]
    if misplaced:
        return _error("unknown_option", signature.misplaced_setting_text(misplaced[0]))
    names = [p.name for p in accepted(signature)]
    hint = nearest(option, names)
    takes = f"; it takes {listed(names)}." if names else "; it takes no options."
    ending = f".{hint}" if hint else takes
    return _error("unknown_option", f"{_called(signature)} takes no '{option}'{ending}")


def _error(kind: str, text: str) -> PydanticCustomError:
    return PydanticCustomError(kind, "{text}", {"text": text})  # type: ignore[arg-type]


_KNOWN_TYPES = {str(kind) for kind in get_args(ErrorType)}
"""pydantic's own error types, which can be raised again as they are."""
