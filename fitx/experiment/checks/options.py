"""Checks the options of parts against their signatures."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import fields
from functools import cache
from typing import Annotated, Any, NotRequired, Required, get_args

from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError, ValidationInfo
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ErrorType
from typing_extensions import TypedDict

from fitx.experiment.problems import closest
from fitx.experiment.schema import DataOptions
from fitx.registry import keras_parts
from fitx.registry.annotations import type_of
from fitx.registry.kinds import FILLED_BY_FITX, ZIP, with_article
from fitx.registry.part_index import PartIndex
from fitx.registry.python_source import argument_descriptions
from fitx.registry.signature import Parameter, Signature

_CONFIG = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class OptionCheck:
    """Checks the options of one part; pydantic calls it again for parts within options.

    Args:
        part_index: The parts that the experiment may name.
        step: The name of the experiment's step, whose `compile` takes the section `compile`.
    """

    def __init__(self, part_index: PartIndex, step: str = "") -> None:
        self.part_index, self._step = part_index, step
        self._adapters: dict[tuple[str, str], TypeAdapter[dict[str, Any]]] = {}

    def __call__(
        self, kind: str, name: str, options: dict[str, Any], info: ValidationInfo
    ) -> dict[str, Any]:
        """Return the checked options.

        Raises:
            PydanticCustomError: `unread_part`, `unknown_part` or `no_options`; its context holds
                the kind and the name of the part.
            ValidationError: Options are wrong; for an `unknown_option` and a `missing_option` the
                context holds the signature of the part.
        """
        signature = self.part_index.signature(kind, name)
        files = self.part_index.namesakes(kind, name)
        if files:
            text = f"{' and '.join(files)} have {with_article(kind)} called '{name}'; rename yours."
            raise PydanticCustomError("part_twice", text)
        unreadable_names = self.part_index.unreadable_names
        part = {"kind": kind, "name": name}
        if name in unreadable_names or (signature is None and closest(name, unreadable_names)):
            raise PydanticCustomError("unread_part", "unread part", part)
        if signature is None:
            raise _unknown_part(part, options)
        if kind == "activation" or name in keras_parts.SHAPE_DEPENDENT.get(kind, ()):
            if options:
                raise PydanticCustomError("no_options", "no options", part)
            return {}
        try:
            return self._adapter(signature).validate_python(options, context=info.context)
        except ValidationError as error:
            raise _with_signature(error, signature) from error

    def compile_arguments(self, arguments: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """Return the checked arguments of the step's own `compile`.

        Raises:
            ValidationError: As for the options of a part.
        """
        signature = self.part_index.compile_signature(self._step)
        if signature is None:
            # A step that does not exist, or that fitx compiles itself, is reported elsewhere.
            return {}
        try:
            return self._adapter(signature).validate_python(arguments, context=info.context)
        except ValidationError as error:
            raise _with_signature(error, signature) from error

    def _adapter(self, signature: Signature) -> TypeAdapter[dict[str, Any]]:
        key = signature.kind, signature.name
        if key not in self._adapters:
            self._adapters[key] = TypeAdapter(options_type(signature))
        return self._adapters[key]


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
"""An option of every metric, so that an experiment may use one metric twice."""


def accepted_options(signature: Signature) -> tuple[Parameter, ...]:
    """Return the parameters of a part that an experiment may set."""
    if signature.kind == "step":
        return signature.options
    if signature.kind == "compile":
        return signature.parameters
    if signature.kind == "callback":
        set_by_fitx = FILLED_BY_FITX["callback"]
        options = (p for p in signature.parameters if not p.positional or p.name not in set_by_fitx)
        return tuple(options)
    if signature.kind == "metric":
        return (*signature.parameters, _AS)
    return (*signature.parameters, *shared_options(signature.kind, signature.name))


def shared_options(kind: str, name: str) -> tuple[Parameter, ...]:
    """Return the options of a part besides those that its signature declares."""
    return data_options() if kind == "dataset" and name != ZIP else ()


@cache
def data_options() -> tuple[Parameter, ...]:
    """Return the options that every dataset accepts, as `DataOptions` declares them."""
    descriptions = argument_descriptions(inspect.getdoc(DataOptions) or "")
    parameters = []
    for field in fields(DataOptions):
        annotation = ast.parse(str(field.type), mode="eval").body
        parameters.append(
            Parameter(
                name=field.name,
                type=type_of(annotation, field.name),
                text=f"{field.name}: {ast.unparse(annotation)} = {field.default!r}",
                required=False,
                positional=False,
                default=field.default,
                description=descriptions[field.name],
            )
        )
    return tuple(parameters)


def options_type(signature: Signature) -> Any:
    """Return the type of a part's options: a TypedDict that pydantic validates."""
    set_by_fitx = FILLED_BY_FITX.get(signature.kind, set())
    if signature.is_model_class:
        # Each may be a network, or have its own key at the top level.
        set_by_fitx = {p.name for p in signature.parameters}
    return _typed_dict(
        {
            p.name: Required[p.type]
            if p.required and p.name not in set_by_fitx
            else NotRequired[p.type]
            for p in accepted_options(signature)
        }
    )


def _typed_dict(types: dict[str, Any]) -> Any:
    create: Any = TypedDict
    options = create("options", types)
    options.__pydantic_config__ = _CONFIG
    return options


def _unknown_part(part: dict[str, str], options: dict[str, Any]) -> ValidationError:
    """Return the error of an unknown part; of a dataset, with those of every dataset's options."""
    error = PydanticCustomError("unknown_part", "unknown part", part)
    details = [InitErrorDetails(type=error, loc=(), input=part["name"])]
    if part["kind"] == "dataset":
        types = {p.name: NotRequired[p.type] for p in data_options() if p.name in options}
        try:
            adapter = TypeAdapter(_typed_dict(types))
            adapter.validate_python({name: options[name] for name in types})
        except ValidationError as option_errors:
            details += option_errors.errors()  # type: ignore[arg-type]
    return ValidationError.from_exception_data(part["name"], details)


def _with_signature(error: ValidationError, signature: Signature) -> ValidationError:
    """Return an error with the signature in the context of unknown and missing options.

    Errors of parts within the options carry their own signatures already.
    """
    details = []
    for item in error.errors():
        type_name, context = item["type"], item.get("ctx", {})
        error_type: PydanticCustomError | str = type_name
        if len(item["loc"]) == 1 and type_name in _OPTION_ERRORS:
            context = {"signature": signature}
            error_type = PydanticCustomError(_OPTION_ERRORS[type_name], "option", context)
        elif type_name not in _PYDANTIC_ERRORS:
            error_type = PydanticCustomError(type_name, item["msg"], context)  # type: ignore[arg-type]
        details.append(
            InitErrorDetails(type=error_type, loc=item["loc"], input=item["input"], ctx=context)
        )
    return ValidationError.from_exception_data(signature.title, details)


_OPTION_ERRORS: Any = {"extra_forbidden": "unknown_option", "missing": "missing_option"}
_PYDANTIC_ERRORS = set(get_args(ErrorType))
"""Types of errors that pydantic itself raises."""
