"""What a step takes and logs, read from the source of its `train_step` and `test_step`.

A step that calls `self.compute_loss` takes a `loss:`; one that feeds `self.metrics` takes
`metrics:`; the keys of the dictionary it returns are the names it logs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from fitx.registry import source, trackers
from fitx.registry.signature import is_step
from fitx.registry.source import Found

COMPILED = "*"
"""Stands, among logged names, for the metrics that the experiment lists."""

_FEEDS_METRICS = ("compute_metrics", "compiled_metrics")
_APPLIES = ("apply", "apply_gradients", "stateless_apply")
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
    members = list(source.family(found, ends=lambda base: base.is_keras or is_step(base)))
    uses = {name for member in members for name in _attributes(member.node)}
    trains = _method(members, "train_step")
    tests = _method(members, "test_step")
    own_metrics = _method(members, "metrics")
    default = trains is None or tests is None
    takes_metrics = own_metrics is None and (
        default or any(name in uses for name in _FEEDS_METRICS) or _feeds_metrics(members)
    )
    takes_loss = "compute_loss" in uses or "compiled_loss" in uses or trains is None
    compiled = ({"loss"} if takes_loss else set()) | ({COMPILED} if takes_metrics else set())
    logged = _Logged(members, compiled)
    return StepFacts(
        takes_loss=takes_loss,
        takes_metrics=takes_metrics,
        train_logs=logged.by(trains),
        test_logs=logged.by(tests),
        scales_loss=trains is None or "scale_loss" in uses or not uses & set(_APPLIES),
    )


class _Logged:
    """Follows what a method returns to the names it logs, None where the source does not tell."""

    def __init__(self, members: list[Found], compiled: set[str]) -> None:
        self.members = members
        self.compiled = compiled
        self._running: list[ast.FunctionDef] = []

    def by(self, function: ast.FunctionDef | None) -> frozenset[str] | None:
        """Return the names a method logs; Keras' own step logs the loss and the metrics."""
        if function is None:
            return _frozen(self._tracked())
        if function in self._running:
            return None
        self._running.append(function)
        found = [self._returned(node.value, function) for node in _returns(function)]
        self._running.remove(function)
        return _frozen(_union(found)) if found else None

    def _returned(self, value: ast.expr | None, function: ast.FunctionDef) -> set[str] | None:
        if isinstance(value, ast.Dict):
            return self._keys(value, function)
        if isinstance(value, ast.DictComp):
            over = ast.unparse(value.generators[0].iter)
            return self._tracked() if over == "self.metrics" else None
        if isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr):
            return _union([self._returned(side, function) for side in (value.left, value.right)])
        if isinstance(value, ast.Call):
            return self._called(value, function)
        if isinstance(value, ast.Name):
            return self._assigned(value.id, function)
        return None

    def _keys(self, value: ast.Dict, function: ast.FunctionDef) -> set[str] | None:
        """Return the keys of a dictionary; what it unpacks with `**` is followed."""
        return _union(
            [
                self._returned(item, function) if key is None else _constant(key)
                for key, item in zip(value.keys, value.values, strict=True)
            ]
        )

    def _called(self, call: ast.Call, function: ast.FunctionDef) -> set[str] | None:
        name = ast.unparse(call.func)
        if name == "dict" and len(call.args) <= 1:
            given: list[set[str] | None] = [{k.arg} if k.arg else None for k in call.keywords]
            return _union([*given, *(self._returned(a, function) for a in call.args)])
        if not name.startswith("self.") or name.count(".") > 1:
            return None
        attribute = name.removeprefix("self.")
        target = _method(self.members, attribute)
        if target is None:
            return self._tracked() if attribute in _KERAS_RETURNS else None
        names = self.by(target)
        return None if names is None else set(names)

    def _assigned(self, name: str, function: ast.FunctionDef) -> set[str] | None:
        """Collect `logs = ...`, `logs["x"] = ...` and `logs.update(...)`."""
        found: list[set[str] | None] = []
        understood = 0
        for node in ast.walk(function):
            names = _into(node, name)
            if names is None:
                continue
            understood += 1
            found.append(self._returned(names, function) if isinstance(names, ast.expr) else names)
        uses = sum(isinstance(n, ast.Name) and n.id == name for n in ast.walk(function))
        returned = sum(_is_name(node.value, name) for node in _returns(function))
        # Whatever else is done with the dictionary may put names into it.
        return _union(found) if understood and uses == understood + returned else None

    def _tracked(self) -> set[str] | None:
        """Return the names in `self.metrics`: the step's own, or those Keras keeps for it."""
        own = trackers.names(self.members)
        listed = _method(self.members, "metrics")
        if listed is None:
            return _union([self.compiled, trackers.all_names(self.members)])
        attributes = trackers.listed(listed)
        if attributes is None:
            return None
        return _union([own.get(attribute) for attribute in attributes])


def _into(node: ast.AST, name: str) -> ast.expr | set[str] | None:
    """Return what a statement puts into the dictionary `name`, None if it puts in nothing."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target = node.targets[0]
        if _is_name(target, name):
            return node.value
        if isinstance(target, ast.Subscript) and _is_name(target.value, name):
            return _constant(target.slice) or ast.Constant(None)
    if isinstance(node, ast.AnnAssign | ast.AugAssign) and _is_name(node.target, name):
        return node.value
    if isinstance(node, ast.Call) and ast.unparse(node.func) == f"{name}.update" and node.args:
        return node.args[0]
    return None


def _constant(node: ast.expr) -> set[str] | None:
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return {str(ast.literal_eval(node))} if is_text else None


def _is_name(node: ast.expr | None, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _union(found: list[set[str] | None]) -> set[str] | None:
    """Return all names, None if some of them cannot be told."""
    known = [names for names in found if names is not None]
    return set().union(*known) if len(known) == len(found) else None


def _frozen(names: set[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


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
    """Yield the `return` statements of a function, those of functions inside it left out."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.Return):
            yield node
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))
