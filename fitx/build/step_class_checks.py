"""Checks the class of a plugin's step before it is constructed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

import keras

from fitx.build.make_parts import function_of
from fitx.engine.compiled_losses import CompiledLosses
from fitx.engine.trainer import Trainer
from fitx.experiment.experiment import Experiment
from fitx.step import Step, network_names

_FIT = ("initial_epoch", "epochs", "steps_per_epoch", "skip_steps", "validation_data")
_OPTIMIZERS = (
    "optimizers come from the experiment and are called self.<network>_optimizer; losses and "
    "settings belong into __init__"
)


def check_step_class(experiment: Experiment) -> None:
    """Refuse a step class that cannot be trained, with the edit that makes it work.

    Shipped steps, functions that make a step, and keras.Model classes are not checked.

    Raises:
        ConfigError: At the key `step`.
    """
    name = experiment.step.name
    if experiment.part_index.is_shipped("step", name):
        return
    cls = function_of(experiment, experiment.step)
    problem = next(_problems(cls), None) if inspect.isclass(cls) else None
    if problem is not None:
        raise experiment.error(("step",), f"class {cls.__name__} {problem}")


def _problems(cls: type) -> Iterator[str]:
    if not issubclass(cls, Step):
        if not issubclass(cls, keras.Model):
            yield "is no step: it derives neither from keras.Model nor from fitx.Step."
            return
        yield from _fit(cls, keras.Model)
        yield from _functions(cls)
        return
    yield from _constructor(cls)
    yield from _compile(cls)
    yield from _fit(cls, Step)
    yield from _functions(cls)
    for owner in cls.__mro__:
        if not issubclass(Step, owner):
            yield from _hidden_names(owner)


def _constructor(cls: type[Step]) -> Iterator[str]:
    names = network_names(cls)
    try:
        inspect.signature(cls.__init__).bind_partial(None, **dict.fromkeys(names))
    except TypeError:
        yield (
            "has no network among its constructor's parameters: write "
            "`def __init__(self, model, *, ...)`, and call super().__init__(model=model) there."
        )


def _compile(cls: type[Step]) -> Iterator[str]:
    if cls.compile is Step.compile:
        return
    _, *parameters = inspect.signature(Step.compile).parameters
    fits = _takes(cls.compile, None, **dict.fromkeys(parameters))
    if not fits or not _mentions(cls.compile, "compile"):
        yield f"has a `compile` of its own, which fitx cannot call: remove it; {_OPTIMIZERS}."


def _functions(cls: type) -> Iterator[str]:
    """Find the methods by which a class would run its steps itself."""
    for name in ("make_train_function", "make_test_function"):
        owner = next(owner for owner in cls.__mro__ if name in vars(owner))
        if not issubclass(Trainer, owner) and not issubclass(keras.Model, owner):
            yield f"has a `{name}` of its own, but fitx runs the steps: remove it."


def _fit(cls: Any, base: Any) -> Iterator[str]:
    if cls.fit is not base.fit and not (
        _takes(cls.fit, None, None, **dict.fromkeys(_FIT)) and _mentions(cls.fit, "fit")
    ):
        yield (
            "has a `fit` of its own that does not hand its arguments on: remove it, or write "
            "`def fit(self, *args, **keywords)` and call super().fit(*args, **keywords) there."
        )


def _hidden_names(owner: type) -> Iterator[str]:
    """Find attributes that hide one of Step's or Keras' own under the same name."""
    for name, member in vars(owner).items():
        is_ours = any(name in vars(ours) for ours in (Step, CompiledLosses, Trainer))
        is_private = name.startswith("_") and not name.startswith("__")
        base = inspect.getattr_static(Step, name, None)
        if isinstance(base, property) and is_ours:
            yield f"calls an attribute '{name}', which is reserved by Step: rename it."
        elif isinstance(base, FunctionType) and is_private and not _replaces(member, base):
            yield f"has a '{name}', which hides a method of Keras: rename it."


def _replaces(member: Any, base: FunctionType) -> bool:
    """Return whether an attribute is a valid override of the function of the same name."""
    if not isinstance(member, FunctionType):
        return False
    required_parameters = [
        p for p in inspect.signature(base).parameters.values() if p.kind is not p.VAR_KEYWORD
    ]
    arguments = {p.name: None for p in required_parameters[1:] if p.kind is not p.VAR_POSITIONAL}
    return _mentions(member, member.__name__) or _takes(member, None, **arguments)


def _takes(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> bool:
    try:
        inspect.signature(function).bind(*arguments, **keywords)
    except TypeError:
        return False
    return True


def _mentions(function: Any, name: str) -> bool:
    """Return whether a function's code uses an attribute name, as a call of super() does."""
    to_visit = [getattr(function, "__code__", None)]
    while to_visit:
        code = to_visit.pop()
        if isinstance(code, CodeType):
            if name in code.co_names:
                return True
            to_visit.extend(code.co_consts)
    return not hasattr(function, "__code__")
