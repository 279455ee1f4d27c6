"""What a step takes and logs, read from the source of its `train_step` and `test_step`.

A step that calls `self.compute_loss` takes a `loss:`; one that feeds `self.metrics` takes
`metrics:`; the keys of the dictionary it returns are the names it logs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fitx.registry import keras_parts, source
from fitx.registry.source import Found

COMPILED = "*"
"""Stands, among logged names, for the metrics that the experiment lists."""

_FEEDS_METRICS = ("compute_metrics", "compiled_metrics")
_KERAS_RETURNS = ("compute_metrics", "get_metrics_result")


@dataclass(frozen=True)
class StepFacts:
    """What the source of a step says; `None` where only running it can tell."""

    takes_loss: bool
    takes_metrics: bool
    train_logs: frozenset[str] | None
    test_logs: frozenset[str] | None
    scales_loss: bool


def facts(found: Found) -> StepFacts:
    """Read a step's source, that of its own bases included, and say what it takes and logs."""
    members = list(_own_family(found))
    uses = {name for member in members for name in _attributes(member.node)}
    trains = _method(members, "train_step")
    tests = _method(members, "test_step")
    own_metrics = _method(members, "metrics")
    default = trains is None or tests is None
    takes_metrics = own_metrics is None and (
        default or any(name in uses for name in _FEEDS_METRICS) or _feeds_metrics(members)
    )
    takes_loss = "compute_loss" in uses or "compiled_loss" in uses or trains is None
    logged = _Logged(members, takes_loss=takes_loss, takes_metrics=takes_metrics)
    return StepFacts(
        takes_loss=takes_loss,
        takes_metrics=takes_metrics,
        train_logs=logged.by(trains),
        test_logs=logged.by(tests),
        scales_loss=trains is None or not uses & {"apply", "apply_gradients"},
    )


class _Logged:
    """Follows what a method returns to the names it logs."""

    def __init__(self, members: list[Found], *, takes_loss: bool, takes_metrics: bool) -> None:
        self.members = members
        self.compiled = {"loss"} if takes_loss else set()
        self.compiled |= {COMPILED} if takes_metrics else set()

    def by(self, function: ast.FunctionDef | None) -> frozenset[str] | None:
        """Return the names a method logs; Keras' own step logs the loss and the metrics."""
        if function is None:
            return frozenset(self._trackers())
        found = [self._returned(node.value, function) for node in _returns(function)]
        if not found or any(names is None for names in found):
            return None
        return frozenset(name for names in found for name in names or ())

    def _returned(self, value: ast.expr | None, function: ast.FunctionDef) -> set[str] | None:
        if isinstance(value, ast.Dict):
            return self._keys(value, function)
        if isinstance(value, ast.DictComp):
            over = ast.unparse(value.generators[0].iter)
            return self._trackers() if over == "self.metrics" else None
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
            return self._called(value.func)
        if isinstance(value, ast.Name):
            return self._assigned(value.id, function)
        return None

    def _keys(self, value: ast.Dict, function: ast.FunctionDef) -> set[str] | None:
        names: set[str] = set()
        for key, item in zip(value.keys, value.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                names.add(key.value)
                continue
            unpacked = self._returned(item, function) if key is None else None
            if unpacked is None:
                return None
            names |= unpacked
        return names

    def _called(self, function: ast.Attribute) -> set[str] | None:
        if not isinstance(function.value, ast.Name) or function.value.id != "self":
            return None
        if function.attr in _KERAS_RETURNS:
            return self._trackers()
        target = _method(self.members, function.attr)
        names = self.by(target) if target is not None else None
        return None if names is None else set(names)

    def _assigned(self, name: str, function: ast.FunctionDef) -> set[str] | None:
        """Collect `logs = ...` and `logs["x"] = ...` in the order they stand."""
        names: set[str] = set()
        for node in ast.walk(function):
            if not isinstance(node, ast.Assign):
                continue
            target = node.targets[0]
            if isinstance(target, ast.Name) and target.id == name:
                value = self._returned(node.value, function)
                if value is None:
                    return None
                names |= value
            elif isinstance(target, ast.Subscript) and ast.unparse(target.value) == name:
                if not isinstance(target.slice, ast.Constant):
                    return None
                names.add(str(target.slice.value))
        return names or None

    def _trackers(self) -> set[str]:
        """Return the names in `self.metrics`: the step's own, or those Keras keeps for it."""
        own = dict(_own_trackers(self.members))
        listed = _method(self.members, "metrics")
        if listed is None:
            return self.compiled | set(own.values())
        return {name for attribute, name in own.items() if attribute in set(_attributes(listed))}


def _own_family(found: Found) -> Iterator[Found]:
    """Yield a step's class and its bases, as far as they are neither fitx' Step nor Keras'."""
    keras = source.file_of("keras")
    outside = [Path(__file__).parent.parent / "step.py", keras.parent if keras else Path("keras")]
    for member in source.family(found):
        if not any(member.module.path.is_relative_to(path) for path in outside):
            yield member


def _method(members: list[Found], name: str) -> ast.FunctionDef | None:
    return next(filter(None, (source.method(member, name) for member in members)), None)


def _attributes(node: ast.AST) -> Iterator[str]:
    for child in ast.walk(node):
        if isinstance(child, ast.Attribute):
            yield child.attr


def _feeds_metrics(members: list[Found]) -> bool:
    """Whether a method loops over `self.metrics` and updates what it finds, as the guide does."""
    return any(
        isinstance(node, ast.For)
        and ast.unparse(node.iter) == "self.metrics"
        and "update_state" in set(_attributes(node))
        for member in members
        for node in ast.walk(member.node)
    )


def _returns(function: ast.FunctionDef) -> Iterator[ast.Return]:
    return (node for node in ast.walk(function) if isinstance(node, ast.Return))


def _own_trackers(members: list[Found]) -> Iterator[tuple[str, str]]:
    """Yield (attribute, logged name) of each `self.x = keras.metrics.Mean(name="x")`."""
    for member in members:
        init = source.method(member, "__init__")
        for node in ast.walk(init) if init else ():
            if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
                continue
            target, cls = node.targets[0], ast.unparse(node.value.func)
            if isinstance(target, ast.Attribute) and "metrics." in cls:
                names = [k.value for k in node.value.keywords if k.arg == "name"]
                constant = names[0] if names else None
                default = keras_parts.snake_case(cls.rpartition(".")[2])
                name = constant.value if isinstance(constant, ast.Constant) else default
                yield target.attr, str(name)
