"""Parts of a plugin that are named by their class or function, without being registered."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from fitx.registry import model_classes, python_source
from fitx.registry.annotations import type_like, type_of
from fitx.registry.python_source import Definition
from fitx.registry.signature import Parameter, Signature, read_signature

_FOLDERS = {
    **{f"{kind}s": kind for kind in ("metric", "layer", "callback", "optimizer", "schedule")},
    "losses": "loss",
    "initializers": "initializer",
    "regularizers": "regularizer",
}
"""Folders of Keras' source, by the kind of their classes."""

_STEP_METHODS = ("train_step", "test_step", "compute_loss")

TENSORS_OF_A_LOSS = 2
"""The labels and the predictions."""

_FUNCTIONS = ("loss", "metric", "activation")
"""Kinds whose parts may be functions."""


def is_applied(kind: str, definition: Definition, options: Iterable[str]) -> bool:
    """Return whether a function is itself the part, as `def loss(y_true, y_pred)`.

    It is if the options leave out a parameter without a default. Otherwise, as for
    `def make_loss(gamma)` with a `gamma`, it is called with the options and returns the part.
    """
    return kind in _FUNCTIONS and bool(set(_required(definition)) - set(options))


def own_signature(kind: str, name: str, definition: Definition) -> Signature:
    """Return the signature of a part that a plugin does not register."""
    if kind not in ("step", "model"):
        signature = read_signature(kind, name, definition)
        if kind not in _FUNCTIONS or isinstance(definition.node, ast.ClassDef):
            return signature
        parameters = (replace(p, required=False, type=Any) for p in signature.parameters)
        return replace(signature, parameters=tuple(parameters))
    signature = read_signature(kind, name, definition, model_classes.ends_at_keras)
    if kind == "model" or not model_classes.is_model_class(definition):
        return signature
    takes_model = model_classes.takes_inputs_and_outputs(definition)
    filled = model_classes.NETWORK_PARTS if takes_model else ()
    settings = [_setting(p) for p in signature.parameters if p.name not in filled]
    return replace(
        signature,
        parameters=tuple(settings),
        is_model_class=True,
        takes_model=takes_model,
        needs_model=model_classes.needs_inputs_and_outputs(definition),
    )


def likely_kind(definition: Definition) -> str:
    """Return the kind of part that a class or a function seems to be, by its base in Keras."""
    if isinstance(definition.node, ast.FunctionDef):
        return "loss" if len(_required(definition)) == TENSORS_OF_A_LOSS else "model"
    for ancestor in python_source.class_and_bases(definition):
        if ancestor.is_keras:
            folders = [parent.name for parent in ancestor.module.path.parents]
            kind = next((_FOLDERS[name] for name in folders if name in _FOLDERS), "model")
            methods = (python_source.method(definition, name) for name in _STEP_METHODS)
            return "step" if kind == "model" and any(methods) else kind
    return "step" if model_classes.is_model_class(definition) is False else "model"


def _setting(parameter: Parameter) -> Parameter:
    """Return a parameter as one that the experiment may set, whatever its place.

    The names of a class' own parameters say nothing about their values, so that only annotations
    and defaults are checked.
    """
    annotated = type_like(parameter.name, parameter.default)
    if parameter.annotation is not None:
        annotated = type_of(parameter.annotation)
    return replace(parameter, type=annotated, positional=False)


def _required(definition: Definition) -> list[str]:
    """Return the parameters of a function that have no default; none for a class."""
    node = definition.node
    if not isinstance(node, ast.FunctionDef):
        return []
    ordered = [*node.args.posonlyargs, *node.args.args]
    names = [argument.arg for argument in ordered[: len(ordered) - len(node.args.defaults)]]
    keywords = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    return names + [argument.arg for argument, default in keywords if default is None]
