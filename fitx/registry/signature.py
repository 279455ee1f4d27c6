"""The constructor's signature is the schema: what a part takes, read from its source."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

from fitx.registry import python_source
from fitx.registry.annotations import type_from_default, type_of
from fitx.registry.documentation import described, documentation
from fitx.registry.python_source import Found

NO_DEFAULT = object()
STEP_FILE = Path(__file__).parent.parent / "step.py"


def is_step(member: Found) -> bool:
    """Whether a class is `fitx.Step` itself."""
    return member.module.path == STEP_FILE


@dataclass(frozen=True)
class Parameter:
    """One thing a part takes; `text` is how its source writes it, `description` what that says."""

    name: str
    type: Any
    text: str
    required: bool
    positional: bool
    default: Any = NO_DEFAULT
    description: str = ""


@dataclass(frozen=True)
class Signature:
    """What a part takes, where it is defined and what it says of itself."""

    kind: str
    name: str
    title: str
    file: Path
    line: int
    doc: str
    parameters: tuple[Parameter, ...]

    @property
    def positional(self) -> tuple[Parameter, ...]:
        """Return the parameters that fitx fills: networks of a step, data facts of a model."""
        return tuple(p for p in self.parameters if p.positional)

    @property
    def options(self) -> tuple[Parameter, ...]:
        """Return the keyword-only parameters, the part's settings."""
        return tuple(p for p in self.parameters if not p.positional)

    @property
    def misplaced(self) -> tuple[Parameter, ...]:
        """Return a step's settings that stand among its networks; optional ones default to None."""
        if self.kind != "step":
            return ()
        return tuple(p for p in self.positional if not p.required and p.default is not None)

    def misplaced_text(self, parameter: Parameter) -> str:
        """Say how a setting that stands among a step's networks is to be written."""
        networks = ", ".join(p.name for p in self.positional if p not in self.misplaced)
        return (
            f"step '{self.name}' has its setting '{parameter.name}' among its networks; put `*` "
            f"before it: `def __init__(self, {networks}, *, {parameter.text})`."
        )

    def get(self, name: str) -> Parameter | None:
        """Return the parameter called `name`, if the part takes it."""
        return next((p for p in self.parameters if p.name == name), None)

    def __str__(self) -> str:
        return f"{self.title}({', '.join(texts(self.parameters))})"


def read_signature(kind: str, name: str, found: Found) -> Signature:
    """Read what a class or function takes. Of a Keras class, its bases' keywords are included."""
    return Signature(
        kind=kind,
        name=name,
        title=found.node.name,
        file=found.module.path,
        line=found.node.lineno,
        doc=documentation(found),
        parameters=tuple(_described(found, _parameters(found, fed=not found.is_keras))),
    )


def _described(found: Found, parameters: Iterator[Parameter]) -> Iterator[Parameter]:
    """Yield parameters with what a class, or else one of its bases, says of them."""
    texts: dict[str, str] = {}
    for member in python_source.family(found, ends=is_step):
        texts = {**described(documentation(member)), **texts}
    for parameter in parameters:
        yield replace(parameter, description=texts.get(parameter.name, ""))


def _parameters(found: Found, *, fed: bool) -> Iterator[Parameter]:
    """Yield a callable's parameters, then those its `**keywords` pass on to its bases."""
    taken: set[str] = set() if fed else {"name"}
    filled = 0
    for function, is_method in _constructors(found):
        own = list(_own(function, is_method=is_method))
        taken |= {parameter.name for parameter in own[:filled]}
        for parameter in own:
            if parameter.name not in taken:
                yield parameter if fed else replace(parameter, positional=False)
        filled, keywords = _passed_on(function)
        taken |= {parameter.name for parameter in own} | keywords
        if function.args.kwarg is None:
            return


def _constructors(found: Found) -> Iterator[tuple[ast.FunctionDef, bool]]:
    if isinstance(found.node, ast.FunctionDef):
        yield found.node, False
    # The keywords of Step itself are the networks.
    for member in python_source.family(found, ends=is_step):
        init = python_source.method(member, "__init__")
        if init is not None:
            yield init, True


def _passed_on(function: ast.FunctionDef) -> tuple[int, set[str]]:
    """Return what a constructor sets itself when it calls its base's: how many arguments by their
    order, and the names of the others.
    """
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "super().__init__":
            ordered = [a for a in node.args if not isinstance(a, ast.Starred)]
            return len(ordered), {keyword.arg for keyword in node.keywords if keyword.arg}
    return 0, set()


def _own(function: ast.FunctionDef, *, is_method: bool) -> Iterator[Parameter]:
    arguments = function.args
    ordered = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(ordered) - len(arguments.defaults))
    defaults.extend(arguments.defaults)
    for argument, default in list(zip(ordered, defaults, strict=True))[is_method:]:
        yield _parameter(argument, default, positional=True)
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _parameter(argument, default, positional=False)


def _parameter(argument: ast.arg, default: ast.expr | None, *, positional: bool) -> Parameter:
    annotation, name = argument.annotation, argument.arg
    sort = type_of(annotation, name) if annotation else type_from_default(name, default)
    return Parameter(
        name=name,
        type=Optional[sort] if _value(default) is None else sort,  # noqa: UP045
        text=_text(argument, default),
        required=default is None,
        positional=positional,
        default=_value(default),
    )


def _text(argument: ast.arg, default: ast.expr | None) -> str:
    annotation = f": {ast.unparse(argument.annotation)}" if argument.annotation else ""
    equals = " = " if annotation else "="
    return f"{argument.arg}{annotation}{f'{equals}{ast.unparse(default)}' if default else ''}"


def _value(default: ast.expr | None) -> Any:
    """Return a default as a file would hold it, NO_DEFAULT where it cannot."""
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
    """Yield parameters as source writes them, with the `*` that begins keyword-only ones."""
    star = any(p.positional for p in parameters)
    for parameter in parameters:
        if star and not parameter.positional:
            yield "*"
            star = False
        yield parameter.text
