"""Adds hints to errors of a user's step: the line at fault, and what to write instead."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from fitx.build.built import BuiltExperiment
from fitx.compat.error_texts import requested_python_value
from fitx.experiment import plugins
from fitx.experiment.experiment import Experiment
from fitx.registry.kinds import SHARED_OPTIMIZER
from fitx.step import Step


def returning_frame(experiment: Experiment, method: Callable[..., Any], name: str | None) -> str:
    """Return the line where a step's method returns a value, formatted as in a traceback.

    Args:
        experiment: The experiment whose plugins are searched.
        method: The step's `train_step` or `test_step`.
        name: The name of the returned value; None for the whole return value.

    Returns:
        An empty text if the method is not defined in a plugin.
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
    """Return the line that assigns the named value, else that of the first return statement."""
    nodes = list(ast.walk(function))
    keys = [key for node in nodes if isinstance(node, ast.Dict) for key in node.keys]
    key_lines = [k.lineno for k in keys if isinstance(k, ast.Constant) and k.value == name]
    returns = [node.lineno for node in nodes if isinstance(node, ast.Return)]
    return min(key_lines or returns or [function.lineno])


_BY_USE = {
    "bool": "Python's `if` runs once, while the step is traced: use keras.ops.where, "
    "keras.ops.cond or tf.cond.",
    "iteration": "Python's `for` runs once, while the step is traced: use tf.while_loop, "
    "tf.map_fn or keras.ops.fori_loop.",
    "number": "A step's tensors have no values while it is traced: use keras.ops or tf.",
}
"""Advice for errors of steps that read values while they are traced, by the use of the value."""

_NO_SETTER = re.compile(r"property '(\w+)' of '.*' object has no setter")


def advice(experiment: Experiment, error: BaseException) -> str:
    """Return a sentence with the remedy; empty if the error is clear by itself."""
    text = str(error)
    use = requested_python_value(error)
    if use is not None:
        return _BY_USE[use]
    if not isinstance(error, AttributeError):
        return _missing_loss(experiment, text)
    fixed = _NO_SETTER.search(text)
    if fixed is not None:
        return f"'{fixed[1]}' is reserved by Step: rename your attribute."
    return _about_optimizers(experiment, error)


def lacks_optimizer(built: BuiltExperiment, error: BaseException) -> bool:
    """Return whether an error comes from the use of an optimizer that the experiment lacks."""
    if not isinstance(error, AttributeError) or error.obj is not None:
        return False
    is_use = hasattr(keras.optimizers.Optimizer, str(error.name))
    return is_use and not built.step.execution.contents.optimizers


def _missing_loss(experiment: Experiment, text: str) -> str:
    if experiment.loss is None and text == "'NoneType' object is not callable":
        return "self.loss is the experiment's `loss:`, and this experiment has none."
    return ""


def _about_optimizers(experiment: Experiment, error: AttributeError) -> str:
    name, names = str(error.name), list(experiment.optimizers)
    attributes = " and ".join(f"self.{network}_optimizer" for network in names)
    if error.obj is None and hasattr(keras.optimizers.Optimizer, name) and len(names) > 1:
        return f"With several optimizers self.optimizer is None; they are {attributes}."
    if not isinstance(error.obj, Step) or not name.endswith("optimizer"):
        return ""
    if names == [SHARED_OPTIMIZER]:
        return "One optimizer trains all networks of this experiment: self.optimizer."
    network = name.removesuffix("_optimizer")
    if network in experiment.networks:
        return f"The network '{network}' has no optimizer in this experiment, so it is frozen."
    return f"Optimizers are named after their networks: {attributes}." if names else ""
