"""Finds the line of a plugin's step that returns a value, for errors about what is returned."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fitx.experiment import plugins
from fitx.experiment.experiment import Experiment


def returning_frame(experiment: Experiment, method: Callable[..., Any], name: str | None) -> str:
    """Return file, line and text of where a step's method returns a value, as a traceback does.

    Args:
        experiment: Whose plugins are searched.
        method: The step's `train_step` or `test_step`.
        name: Under which the value is returned; None for all that is returned.

    Returns:
        An empty text if the method is none of a plugin's.
    """
    code = getattr(method, "__code__", None)
    path = Path(code.co_filename) if code is not None else Path()
    if code is None or path not in experiment.plugins:
        return ""
    text = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and code.co_firstlineno == _first_line(node):
            number = _line(node, name)
            line = text.splitlines()[number - 1].strip()
            return plugins.frame_text(str(path), number, f", in {node.name}", line)
    return ""


def _first_line(function: ast.FunctionDef) -> int:
    return min([function.lineno, *(node.lineno for node in function.decorator_list)])


def _line(function: ast.FunctionDef, name: str | None) -> int:
    """Return the line that gives the name its value, else the first that returns anything."""
    nodes = list(ast.walk(function))
    keys = [key for node in nodes if isinstance(node, ast.Dict) for key in node.keys]
    named = [k.lineno for k in keys if isinstance(k, ast.Constant) and k.value == name]
    returns = [node.lineno for node in nodes if isinstance(node, ast.Return)]
    return min(named or returns or [function.lineno])
