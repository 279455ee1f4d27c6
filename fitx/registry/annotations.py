"""Converts the annotations and defaults of a signature into types that pydantic checks."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Optional, Union, get_args

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen, MultipleOf
from pydantic import (
    AfterValidator,
    BeforeValidator,
    PlainValidator,
    Strict,
    TypeAdapter,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

from fitx.registry import kinds


class WrittenPath(str):
    """A path as written in a file; `experiment.checks.paths` makes it absolute."""


PATH = Annotated[str, AfterValidator(WrittenPath)]
"""The type of a `Path` annotation: a string, relative to the file in which it is written."""

_NAMES: dict[str, Any] = {
    **{t.__name__: t for t in (int, float, str, bool, list, dict, set, frozenset)},
    **{t.__name__: t for t in (Ge, Gt, Le, Lt, MinLen, MaxLen, MultipleOf)},
    **dict.fromkeys(("Path", "PathLike"), PATH),
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

_JSON_TYPES = {int: "integer", float: "number", str: "string", list: "array"}

_OPERATORS = {ast.Pow: operator.pow, ast.Mult: operator.mul, ast.Sub: operator.sub}

_COUNT = Annotated[int, Strict(), Ge(1)]
_STEP = Annotated[int, Strict(), Ge(0)] | Annotated[float, Strict(), Ge(0)]
_STEPS = _COUNT | Literal["total"]
_NUMBER = Annotated[float, Strict()] | None

_BY_NAME: dict[str, Any] = {
    **dict.fromkeys(
        ("units", "filters", "num_heads", "key_dim", "input_dim", "output_dim"), _COUNT
    ),
    **dict.fromkeys(("decay_steps", "first_decay_steps"), _STEPS),
    "initial_learning_rate": Annotated[float, Strict(), Ge(0)],
    "boundaries": Annotated[list[_STEP | Literal["total"]], MinLen(1)],
    "values": list[Annotated[float, Strict(), Ge(0)]],
    "warmup_steps": Annotated[int, Strict(), Ge(0)],
    "warmup_target": Annotated[float, Strict(), Ge(0)] | None,
    "decay_rate": Annotated[float, Strict()],
    **dict.fromkeys(("t_mul", "m_mul"), Annotated[float, Strict(), Gt(0)]),
    **dict.fromkeys(("end_learning_rate", "min_lr", "min_delta"), Annotated[float, Strict()]),
    **dict.fromkeys(
        ("weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "loss_scale_factor"), _NUMBER
    ),
    "baseline": _NUMBER,
    **dict.fromkeys(("ema_overwrite_frequency", "gradient_accumulation_steps"), _COUNT | None),
    **dict.fromkeys(("filename", "log_dir"), Annotated[str, MinLen(1)]),
    # Keras takes the name of a file too, and shows lines of it in its errors.
    "vocabulary": list[str | int] | None,
    "separator": Annotated[str, MinLen(1), MaxLen(1)],
    "rate": Annotated[float, Strict(), Ge(0), Le(1)],
}
"""Types of options to which Keras gives neither an annotation nor a telling default, by name."""


def type_of(annotation: ast.expr, name: str = "") -> Any:
    """Return the type of an annotation; Any for one whose values YAML cannot express."""
    if name.endswith("activation") and ast.unparse(annotation) == "str":
        return kinds.name_of("activation")
    try:
        annotated = _evaluate(annotation)
        # A plugin may annotate with something that is no type; such an option is not checked.
        TypeAdapter(annotated)
    except Exception:
        return Any
    return annotated


def type_from_default(name: str, default: ast.expr | None, *, is_keras: bool) -> Any:
    """Return the type of an option without an annotation, from its name and default.

    Args:
        name: The name of the option.
        default: Its default in the source.
        is_keras: Whether Keras declares it, so that the name tells the range of its values.
    """
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
    type_by_name = _BY_NAME.get(name) if is_keras else None
    return type_by_name or type_like(name, _literal(default))


def type_like(name: str, default: Any) -> Any:
    """Return the type of values that may replace a default; Any without a telling one."""
    if isinstance(default, bool):
        return bool
    if isinstance(default, int | float):
        # Keras also takes a list with one number for each class, such as alpha of focal losses.
        return _one_of("a number", int, float, list)
    if isinstance(default, tuple | list):
        return _one_of("a number or a list", int, float, list)
    if isinstance(default, str):
        return _one_of("a string", str, *([int] if name.endswith("_freq") else []))
    return Any


def _one_of(expected: str, *types: type) -> Any:
    """Return the annotation of null or a value of some types; booleans are not numbers."""

    def read(value: Any) -> Any:
        if value is None or (isinstance(value, types) and not isinstance(value, bool)):
            return value
        if expected == "a number":
            # For this type of error the message recognizes a number in quotes.
            raise PydanticKnownError("float_type")
        raise PydanticCustomError("expected", f"expected {expected}")

    names = [_JSON_TYPES[t] for t in types]
    return Annotated[Any, PlainValidator(read), WithJsonSchema({"type": [*names, "null"]})]


def _literal(default: ast.expr | None) -> Any:
    try:
        return None if default is None else ast.literal_eval(default)
    except (ValueError, TypeError, SyntaxError):
        return None


def _evaluate(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return type_of(_parse(node.value)) if isinstance(node.value, str) else node.value
    if isinstance(node, ast.Name | ast.Attribute):
        annotated = _NAMES[node.id if isinstance(node, ast.Name) else node.attr]
        return _from_list(annotated) if annotated in (tuple, set, frozenset) else annotated
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _either([_evaluate(node.left), _evaluate(node.right)])
    if isinstance(node, ast.Subscript):
        return _subscript(node)
    return _constraint(node)


def _subscript(node: ast.Subscript) -> Any:
    outer = _NAMES[ast.unparse(node.value).rpartition(".")[2]]
    items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if outer is Literal:
        return Literal[tuple(ast.literal_eval(item) for item in items)]
    if outer is Annotated:
        metadata = [_constraint(item) for item in items[1:] if isinstance(item, ast.Call)]
        inner = _evaluate(items[0])
        return Annotated[(inner, *metadata)] if metadata else inner
    types: Any = tuple(_evaluate(item) for item in items)
    if outer is Union or outer is Optional:
        return _either([*types, *([None] if outer is Optional else [])])
    if outer in (dict, Mapping) and getattr(types[0], "__origin__", types[0]) is int:
        return Annotated[dict[types[0], types[1]], BeforeValidator(_integer_keys)]
    kind = kinds.PART_ANNOTATIONS.get(ast.unparse(items[0]).rpartition(".")[2])
    if outer in (list, Sequence) and kind is not None:
        return _parts_of(kind, types[0])
    list_type = outer[types if len(types) > 1 else types[0]]
    return _from_list(list_type) if outer in (tuple, set, frozenset) else list_type


def _parts_of(kind: str, part: Any) -> Any:
    """Return the annotation of a list of parts; a single part may be written without a list."""

    def read(value: Any) -> Any:
        return [value] if kinds.is_part(value) else value

    one = {kinds.PART_KEY: kind}
    schema = {"anyOf": [{"type": "array", "items": one}, one]}
    return Annotated[list[part], BeforeValidator(read), WithJsonSchema(schema)]


def _either(types: Sequence[Any]) -> Any:
    """Return the union of types, with a path last: any string is a valid path."""
    members = get_args(Union[tuple(types)]) or types  # noqa: UP007
    return Union[tuple(sorted(members, key=lambda annotated: annotated is PATH))]  # noqa: UP007


def _from_list(annotated: Any) -> Any:
    """Return the annotation of a tuple or set, which YAML writes as a list."""
    return Annotated[annotated, Strict(False), BeforeValidator(_only_lists)]


def _integer_keys(value: Any) -> Any:
    """Convert the keys of a mapping to integers; in a file they are strings."""
    if not isinstance(value, dict):
        return value
    return {int(k) if isinstance(k, str) and _is_integer(k) else k: v for k, v in value.items()}


def _is_integer(text: str) -> bool:
    return len(text) < 20 and bool(re.fullmatch("0|-?[1-9][0-9]*", text))


def _only_lists(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise PydanticCustomError("expected", "expected a list")
    return value


def _constraint(node: ast.expr) -> Any:
    """Evaluate a constraint such as `Ge(0)` or `Lt(2**32)`."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise TypeError("not a constraint")
    arguments = [_number(argument) for argument in node.args]
    keywords = {k.arg: _number(k.value) for k in node.keywords if k.arg}
    return _NAMES[node.func.id](*arguments, **keywords)


def _number(node: ast.expr) -> Any:
    """Return the value of a bound: a literal, or a power, product or difference of two."""
    if not isinstance(node, ast.BinOp) or type(node.op) not in _OPERATORS:
        return ast.literal_eval(node)
    left, right = ast.literal_eval(node.left), ast.literal_eval(node.right)
    if not (abs(left) <= 1 << 64 and abs(right) <= 64):
        raise ValueError("too large a bound")
    return _OPERATORS[type(node.op)](left, right)


def _parse(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body
