"""Metrics that a step keeps as attributes: `self.tracker = keras.metrics.Mean(name="loss")`."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator

from fitx.registry import keras_parts
from fitx.registry.source import Found, Module

_KNOWN = ("keras", "tensorflow", "numpy", "builtins", "math")


def names(members: list[Found]) -> dict[str, set[str]]:
    """Return the name under which each attribute that is a metric of Keras is logged."""
    found = {}
    for attribute, call, module in _assigned(members):
        name = _logged_name(call, module)
        if name is not None:
            found[attribute] = {name}
    return found


def all_names(members: list[Found]) -> set[str] | None:
    """Return the names of all metrics among the attributes, None if one may be another's metric."""
    own = names(members)
    for attribute, call, module in _assigned(members):
        if attribute not in own and _may_be_metric(call, module):
            return None
    return set().union(*own.values())


def listed(function: ast.FunctionDef) -> list[str] | None:
    """Return the attributes that a `metrics` property returns, None if it returns others too."""
    *before, last = function.body
    value = last.value if isinstance(last, ast.Return) else None
    is_alone = all(isinstance(statement, ast.Expr) for statement in before)
    if not isinstance(value, ast.List | ast.Tuple) or not is_alone:
        return None
    attributes = [_attribute_of_self(item) for item in value.elts]
    return None if None in attributes else [str(name) for name in attributes]


def _attribute_of_self(node: ast.AST) -> str | None:
    is_own = isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self"
    return node.attr if isinstance(node, ast.Attribute) and is_own else None


def _assigned(members: list[Found]) -> Iterator[tuple[str, ast.expr, Module]]:
    """Yield (attribute, value, module) of each `self.x = value` in any method."""
    for member in members:
        for node in ast.walk(member.node):
            targets = node.targets if isinstance(node, ast.Assign) else []
            for target in targets:
                attribute = _attribute_of_self(target)
                if attribute is not None and isinstance(node, ast.Assign):
                    yield attribute, node.value, member.module


def _logged_name(value: ast.expr, module: Module) -> str | None:
    """Return the name of a metric of Keras that is made here, None if it is none or has no text."""
    path = _full_name(value, module)
    if path is None or ".metrics." not in path or not isinstance(value, ast.Call):
        return None
    named = [k.value for k in value.keywords if k.arg == "name"] or value.args[:1]
    if not named:
        return keras_parts.snake_case(path.rpartition(".")[2])
    text = ast.literal_eval(named[0]) if isinstance(named[0], ast.Constant) else None
    return text if isinstance(text, str) else None


def _full_name(value: ast.expr, module: Module) -> str | None:
    """Return what a call calls, as `keras.metrics.Mean`, however it was imported."""
    if not isinstance(value, ast.Call):
        return None
    head, _, rest = ast.unparse(value.func).partition(".")
    package, attribute = module.imports.get(head, ("builtins" * hasattr(builtins, head), head))
    return ".".join(filter(None, (package, attribute, rest))) if package else None


def _may_be_metric(value: ast.expr, module: Module) -> bool:
    """Whether a value may hold a metric: it calls something that is not surely something else."""
    calls = [node for node in ast.walk(value) if isinstance(node, ast.Call)]
    return any(not _is_no_metric(_full_name(call, module)) for call in calls)


def _is_no_metric(path: str | None) -> bool:
    return path is not None and path.partition(".")[0] in _KNOWN and ".metrics." not in path
