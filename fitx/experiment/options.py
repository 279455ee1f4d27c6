"""Options of parts, checked against the signatures of what they will be handed to."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NotRequired, Required

from pydantic import ConfigDict, TypeAdapter, ValidationError, ValidationInfo
from pydantic_core import InitErrorDetails, PydanticCustomError
from typing_extensions import TypedDict

from fitx.experiment.problems import listed, nearest
from fitx.registry import keras_parts, source
from fitx.registry.catalogue import Catalogue
from fitx.registry.kinds import FED
from fitx.registry.signature import Parameter, Signature, read_signature

_CONFIG = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class OptionCheck:
    """Checks the options of one part; parts inside parts come back to it through pydantic."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue

    def __call__(
        self, kind: str, name: str, options: dict[str, Any], info: ValidationInfo
    ) -> dict[str, Any]:
        """Return the checked options. Raises pydantic errors that say what is wrong."""
        signature = self.catalogue.signature(kind, name)
        if signature is None:
            raise _error("unknown_part", self._unknown(kind, name))
        if kind == "activation" and options:
            raise _error("unknown_option", f"the activation '{name}' takes no options.")
        try:
            adapter = _adapter(signature)
            checked: dict[str, Any] = adapter.validate_python(options, context=info.context)
        except ValidationError as error:
            raise _translated(error, signature) from error
        return checked

    def _unknown(self, kind: str, name: str) -> str:
        reason = keras_parts.REPLACED.get(keras_parts.replaced_name(name) or "")
        if kind == "callback" and reason:
            return f"the callback '{name}' has no place in fitx: {reason}."
        hint = nearest(name, self.catalogue.spellings(kind))
        return f"no {kind} is called '{name}'.{hint or f' `fitx list {kind}` names all.'}"


def accepted(signature: Signature) -> tuple[Parameter, ...]:
    """Return what the experiment file may set: all but the parameters that only fitx fills."""
    own = signature.options if signature.kind in ("step", "callback") else signature.parameters
    return (*own, *(batch_options() if signature.kind == "dataset" else ()))


@cache
def batch_options() -> tuple[Parameter, ...]:
    """Return the options that every dataset part has: batch size, shuffling, weights."""
    path = Path(__file__).parent.parent / "data" / "prepare.py"
    found = source.find(source.read(path), "prepare")
    options = read_signature("dataset", "prepare", found).options if found else ()
    return tuple(p for p in options if p.name != "seed")


def schema_of(signature: Signature) -> Any:
    """Return the type of a part's options, a TypedDict that pydantic validates."""
    fed = FED.get(signature.kind, set())
    fields: dict[str, Any] = {
        p.name: Required[p.type] if p.required and p.name not in fed else NotRequired[p.type]
        for p in accepted(signature)
    }
    make: Any = TypedDict
    options = make("options", fields)
    options.__pydantic_config__ = _CONFIG
    return options


@cache
def _adapter(signature: Signature) -> TypeAdapter[dict[str, Any]]:
    return TypeAdapter(schema_of(signature))


def _translated(error: ValidationError, signature: Signature) -> ValidationError:
    """Return the error with unknown and missing options explained in the part's own terms."""
    details = []
    for item in error.errors():
        kind: PydanticCustomError | str = item["type"]
        here = len(item["loc"]) == 1
        if here and kind == "extra_forbidden":
            kind = _unknown_option(signature, str(item["loc"][0]))
        elif here and kind == "missing":
            kind = _error("missing_option", f"missing; {signature.title} needs it.")
        elif kind not in _KNOWN_TYPES:
            kind = _error(str(kind), item["msg"])
        detail = InitErrorDetails(type=kind, loc=item["loc"], input=item["input"])
        if isinstance(kind, str) and "ctx" in item:
            detail["ctx"] = item["ctx"]
        details.append(detail)
    return ValidationError.from_exception_data(signature.title, details)


def _unknown_option(signature: Signature, option: str) -> PydanticCustomError:
    names = [p.name for p in accepted(signature)]
    hint = nearest(option, names)
    takes = f"; it takes {listed(names)}." if names else "; it takes no options."
    ending = f".{hint}" if hint else takes
    return _error("unknown_option", f"{signature.title} takes no '{option}'{ending}")


def _error(kind: str, text: str) -> PydanticCustomError:
    return PydanticCustomError(kind, "{text}", {"text": text})  # type: ignore[arg-type]


_KNOWN_TYPES = {
    *("int_type", "float_type", "bool_type", "string_type", "list_type", "dict_type"),
    *("greater_than", "greater_than_equal", "less_than", "less_than_equal", "literal_error"),
    *("finite_number", "none_required", "is_instance_of", "extra_forbidden", "missing"),
    *("int_from_float", "too_short", "too_long", "tuple_type", "sequence_type", "mapping_type"),
}
"""pydantic's own error types that can be raised again as they are."""
