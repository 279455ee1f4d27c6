"""Signatures of parts, read from their source: they are the schema of a part's options."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Optional

from fitx.registry import python_source
from fitx.registry.annotations import type_from_default, type_of
from fitx.registry.python_source import Definition, argument_descriptions, docstring
from fitx.registry.step_facts import is_step_base

NO_DEFAULT = object()
"""Stands for the default of a parameter that has none, or none that a file can hold."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a part.

    Args:
        name: Its name, as in the experiment file.
        type: What pydantic checks its values against.
        text: The parameter as the source writes it.
        required: It has no default.
        positional: It may be given by position.
        default: Its default, NO_DEFAULT where it has none that a file can hold.
        description: Its description in the docstring.
        annotation: Its annotation in the source.
    """

    name: str
    type: Any
    text: str
    required: bool
    positional: bool
    default: Any = NO_DEFAULT
    description: str = ""
    annotation: ast.expr | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Signature:
    """The parameters of a part, the place of its definition and its docstring.

    Attributes:
        is_model_class: It is a step that is no subclass of `fitx.Step`. The experiment tells which
            of its parameters are networks.
        takes_model: Such a class may be made from the inputs and outputs of a network `model`.
        needs_model: It cannot be made in another way.
    """

    kind: str
    name: str
    title: str
    file: Path
    line: int
    doc: str
    parameters: tuple[Parameter, ...]
    is_model_class: bool = False
    takes_model: bool = False
    needs_model: bool = False

    @property
    def positional(self) -> tuple[Parameter, ...]:
        """The positional parameters, which fitx fills: networks of a step, shapes of a model."""
        return tuple(p for p in self.parameters if p.positional)

    @property
    def options(self) -> tuple[Parameter, ...]:
        """The keyword-only parameters: the settings of the part."""
        return tuple(p for p in self.parameters if not p.positional)

    @property
    def misplaced_settings(self) -> tuple[Parameter, ...]:
        """The positional parameters of a step that are settings: their default is not None."""
        if self.kind != "step" or self.is_model_class:
            return ()
        return tuple(p for p in self.positional if not p.required and p.default is not None)

    def misplaced_setting_text(self, parameter: Parameter) -> str:
        """Return the message for a setting that a step declares among its networks."""
        networks = ", ".join(p.name for p in self.positional if p not in self.misplaced_settings)
        return (
            f"step '{self.name}' has its setting '{parameter.name}' among its networks; "
            f"put `*` before it: `def __init__(self, {networks}, *, {parameter.text})`."
        )

    def network_names(self, given: Iterable[str]) -> tuple[str, ...]:
        """Return the names of a step's networks, in the order in which they are made.

        Args:
            given: The names of the networks of the experiment.
        """
        if not self.is_model_class:
            return tuple(p.name for p in self.positional)
        names = [p.name for p in self.parameters]
        places = {name: index for index, name in enumerate(names)}
        # Those of a list are called `critics/0`, `critics/1` and so on.
        return tuple(sorted(given, key=lambda name: places.get(name.partition("/")[0], -1)))

    def get(self, name: str) -> Parameter | None:
        """Return the parameter called `name`, or None."""
        return next((p for p in self.parameters if p.name == name), None)

    def __str__(self) -> str:
        return f"{self.title}({', '.join(texts(self.parameters))})"


@cache
def read_signature(
    kind: str,
    name: str,
    definition: Definition,
    ends: Callable[[Definition], bool] = is_step_base,
) -> Signature:
    """Read the signature of a class or function, including keywords that it passes to its bases.

    The result is cached: a command asks for the signature of a part many times. `ends` tells
    whose parameters are left out, together with those of their own bases.
    """
    return Signature(
        kind=kind,
        name=name,
        title=definition.node.name,
        file=definition.module.path,
        line=definition.node.lineno,
        doc=docstring(definition),
        parameters=tuple(_described(definition, _parameters(definition, ends), ends)),
    )


def _described(
    definition: Definition, parameters: Iterator[Parameter], ends: Callable[[Definition], bool]
) -> Iterator[Parameter]:
    """Yield parameters with their descriptions, from the docstring of the class or of a base."""
    texts: dict[str, str] = {}
    for ancestor in python_source.class_and_bases(definition, ends=ends):
        texts = {**argument_descriptions(docstring(ancestor)), **texts}
    for parameter in parameters:
        yield replace(parameter, description=texts.get(parameter.name, ""))


def _parameters(definition: Definition, ends: Callable[[Definition], bool]) -> Iterator[Parameter]:
    """Yield the parameters of a callable, then those that `**keywords` passes on to its bases."""
    # fitx names parts of Keras itself and passes all of their options by name.
    is_keras = definition.is_keras
    taken_names: set[str] = {"name"} if is_keras else set()
    filled = 0
    for function, owner in _constructors(definition, ends):
        declared = list(declared_parameters(function, owner))
        taken_names |= {parameter.name for parameter in declared[:filled]}
        for parameter in declared:
            if parameter.name not in taken_names:
                yield replace(parameter, positional=False) if is_keras else parameter
        filled, keywords = _given_to_base(function)
        taken_names |= {parameter.name for parameter in declared} | keywords
        if function.args.kwarg is None:
            return


def _constructors(
    definition: Definition, ends: Callable[[Definition], bool]
) -> Iterator[tuple[ast.FunctionDef, Definition]]:
    """Yield the functions that make a part, each with its class, or itself for a function."""
    if isinstance(definition.node, ast.FunctionDef):
        yield definition.node, definition
    for ancestor in python_source.class_and_bases(definition, ends=ends):
        init = python_source.method(ancestor, "__init__")
        if init is not None:
            yield init, ancestor


def _given_to_base(function: ast.FunctionDef) -> tuple[int, set[str]]:
    """Return which arguments a constructor gives to its base's: a count, and names of keywords."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "super().__init__":
            ordered = [a for a in node.args if not isinstance(a, ast.Starred)]
            return len(ordered), {keyword.arg for keyword in node.keywords if keyword.arg}
    return 0, set()


def declared_parameters(function: ast.FunctionDef, owner: Definition) -> Iterator[Parameter]:
    """Yield the parameters of a function without `self`; `owner` is its class, or itself."""
    arguments, is_method = function.args, owner.node is not function
    declare = partial(_parameter, is_keras=owner.is_keras)
    ordered = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(ordered) - len(arguments.defaults))
    defaults.extend(arguments.defaults)
    for argument, default in list(zip(ordered, defaults, strict=True))[is_method:]:
        yield declare(argument, default, positional=True)
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield declare(argument, default, positional=False)


def _parameter(
    argument: ast.arg, default: ast.expr | None, *, positional: bool, is_keras: bool
) -> Parameter:
    annotation, name = argument.annotation, argument.arg
    annotated = type_from_default(name, default, is_keras=is_keras)
    if annotation:
        annotated = type_of(annotation, name)
    return Parameter(
        name=name,
        type=Optional[annotated] if _value(default) is None else annotated,  # noqa: UP045
        text=_text(argument, default),
        required=default is None,
        positional=positional,
        default=_value(default),
        annotation=annotation,
    )


def _text(argument: ast.arg, default: ast.expr | None) -> str:
    annotation = f": {ast.unparse(argument.annotation)}" if argument.annotation else ""
    equals = " = " if annotation else "="
    return f"{argument.arg}{annotation}{f'{equals}{ast.unparse(default)}' if default else ''}"


def _value(default: ast.expr | None) -> Any:
    """Return a default, or NO_DEFAULT if a file cannot hold it."""
    try:
        value = NO_DEFAULT if default is None else ast.literal_eval(default)
    except (ValueError, TypeError):
        return NO_DEFAULT
    return value if _is_writable(value) else NO_DEFAULT


def _is_writable(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(k, str | int) and _is_writable(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_writable, value))
    is_finite = not isinstance(value, float) or math.isfinite(value)
    return value is None or (isinstance(value, str | int | float) and is_finite)


def texts(parameters: tuple[Parameter, ...]) -> Iterator[str]:
    """Yield parameters as the source writes them, with `*` before the keyword-only ones."""
    star = any(p.positional for p in parameters)
    for parameter in parameters:
        if star and not parameter.positional:
            yield "*"
            star = False
        yield parameter.text
