"""Annotations and defaults of a signature, turned into types that pydantic checks."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Optional, Union

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BeforeValidator, PlainValidator, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError

from fitx.registry import kinds

PATH = Annotated[str, "path"]
"""What a `Path` annotation takes: a string; relative ones start at the file that holds them."""

_NAMES: dict[str, Any] = {
    **{t.__name__: t for t in (int, float, str, bool, list, dict, set, frozenset)},
    **{t.__name__: t for t in (Ge, Gt, Le, Lt, MinLen, MaxLen)},
    "Path": PATH,
    "Any": Any,
    "Annotated": Annotated,
    "Literal": Literal,
    "Mapping": Mapping,
    "Optional": Optional,
    "Sequence": Sequence,
    "Union": Union,
    "tuple": tuple,
    **{name: kinds.part_of(kind) for name, kind in kinds.PART_ANNOTATIONS.items()},
}


_COUNT = Annotated[int, Strict(), Ge(1)]
_STEPS = _COUNT | Literal["total"]

_BY_NAME: dict[str, Any] = {
    **dict.fromkeys(
        ("units", "filters", "num_heads", "key_dim", "input_dim", "output_dim"), _COUNT
    ),
    **dict.fromkeys(("decay_steps", "first_decay_steps"), _STEPS),
    "initial_learning_rate": Annotated[float, Strict(), Gt(0)],
    "rate": Annotated[float, Strict(), Ge(0), Lt(1)],
}
"""Options that Keras leaves without a default or an annotation to judge them by."""


def type_of(annotation: ast.expr | None) -> Any:
    """Return the type an annotation names; Any for what a config has no way to write."""
    if annotation is None:
        return Any
    try:
        return _evaluate(annotation)
    except (LookupError, TypeError, ValueError, SyntaxError):
        return Any


def type_from_default(name: str, default: ast.expr | None) -> Any:
    """Return what an unannotated option takes, judged by its name and default, as in Keras."""
    if name == "learning_rate":
        return kinds.number_or("schedule")
    if name == "schedule":
        return kinds.part_of("schedule")
    if name in ("layer", "forward_layer", "backward_layer", "cell"):
        return kinds.optional_part_of("layer")
    for kind in ("initializer", "regularizer", "constraint"):
        if name.endswith(f"_{kind}"):
            return kinds.optional_part_of(kind)
    if name.endswith("activation"):
        return kinds.optional_part_of("activation")
    return _BY_NAME.get(name) or _like(_literal(default))


def _like(default: Any) -> Any:
    """Return the type of values that may stand where `default` stands."""
    if isinstance(default, bool):
        return bool
    if isinstance(default, float):
        return _refusing("a number", lambda v: isinstance(v, int | float) or v is None, "number")
    if isinstance(default, int):
        allowed = (int, float, list)
        return _refusing("a number", lambda v: isinstance(v, allowed) or v is None, "number")
    if isinstance(default, str):
        return _refusing("a string", lambda v: isinstance(v, str | dict) or v is None, "string")
    return Any


def _refusing(expected: str, accepts: Any, json_type: str) -> Any:
    def read(value: Any) -> Any:
        if isinstance(value, bool) or not accepts(value):
            raise PydanticCustomError("expected", f"expected {expected}")
        return value

    schema = {"type": json_type} if json_type == "string" else {}
    return Annotated[Any, PlainValidator(read), WithJsonSchema(schema)]


def _literal(default: ast.expr | None) -> Any:
    try:
        return None if default is None else ast.literal_eval(default)
    except (ValueError, TypeError, SyntaxError):
        return None


def _evaluate(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return type_of(_parse(node.value)) if isinstance(node.value, str) else node.value
    if isinstance(node, ast.Name):
        return _NAMES[node.id]
    if isinstance(node, ast.Attribute):
        return _NAMES[node.attr]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return Union[_evaluate(node.left), _evaluate(node.right)]  # noqa: UP007
    if isinstance(node, ast.Subscript):
        return _subscript(node)
    return _constraint(node)


def _subscript(node: ast.Subscript) -> Any:
    outer = _evaluate(node.value)
    items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if outer is Literal:
        return Literal[tuple(ast.literal_eval(item) for item in items)]
    if outer is Annotated:
        metadata = [_constraint(item) for item in items[1:] if isinstance(item, ast.Call)]
        inner = _evaluate(items[0])
        return Annotated[(inner, *metadata)] if metadata else inner
    types: Any = tuple(_evaluate(item) for item in items)
    if outer is tuple:
        # YAML has lists only, and a strict tuple refuses a list.
        return Annotated[outer[types], Strict(False), BeforeValidator(_only_lists)]
    return outer[types if len(types) > 1 else types[0]]


def _only_lists(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise PydanticCustomError("expected", "expected a list")
    return value


def _constraint(node: ast.expr) -> Any:
    """Evaluate `Ge(0)` and the like, whose arguments are literals."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise TypeError("not a constraint")
    arguments = [ast.literal_eval(argument) for argument in node.args]
    keywords = {k.arg: ast.literal_eval(k.value) for k in node.keywords if k.arg}
    return _NAMES[node.func.id](*arguments, **keywords)


def _parse(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body
