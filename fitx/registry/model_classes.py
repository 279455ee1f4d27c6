"""Steps that are plain keras.Model classes or functions of a plugin, and their `compile` method."""

from __future__ import annotations

import ast
from dataclasses import replace

from fitx.registry import python_source
from fitx.registry.compile_types import compile_type
from fitx.registry.python_source import Definition
from fitx.registry.signature import Parameter, Signature, declared_parameters
from fitx.registry.step_facts import is_step_base

NETWORK_PARTS = ("inputs", "outputs")
"""Parameters with which Keras makes a model from the inputs and outputs of a network."""

MODEL = "model"
"""The name of the network from whose inputs and outputs a class is made."""

_STANDARD = ast.parse(
    "def compile(optimizer=None, loss=None, loss_weights=None, metrics=None, "
    "weighted_metrics=None): ..."
)
"""The parameters of `keras.Model.compile` that an experiment may set."""


def ends_at_keras(definition: Definition) -> bool:
    """Return whether a base is `fitx.Step` or belongs to Keras; its parameters are no options."""
    return is_step_base(definition) or definition.is_keras


def is_model_class(definition: Definition) -> bool:
    """Return whether a step is no subclass of `fitx.Step`, as far as its source can be read."""
    chain = python_source.class_and_bases(definition)
    return not any(is_step_base(ancestor) for ancestor in chain)


def derives_from_keras(definition: Definition) -> bool:
    """Return whether a step is a class that derives from one of Keras, and not from `fitx.Step`."""
    chain = list(python_source.class_and_bases(definition))
    return is_model_class(definition) and any(ancestor.is_keras for ancestor in chain)


def takes_inputs_and_outputs(definition: Definition) -> bool:
    """Return whether a class may be made as `cls(inputs, outputs)`, as in the guide."""
    init = _method(definition, "__init__")
    if init is None:
        return isinstance(definition.node, ast.ClassDef)
    names = [argument.arg for argument in (*init.args.args, *init.args.kwonlyargs)]
    passes_on = init.args.kwarg is not None
    return MODEL not in names and (passes_on or all(name in names for name in NETWORK_PARTS))


def needs_inputs_and_outputs(definition: Definition) -> bool:
    """Return whether a class has neither a constructor nor a `call` of its own."""
    is_class = isinstance(definition.node, ast.ClassDef)
    return is_class and not any(_method(definition, name) for name in ("__init__", "call"))


def has_own_compile(definition: Definition) -> bool:
    """Return whether a class overrides `compile`."""
    return _method(definition, "compile") is not None


def compile_signature(step: Signature, definition: Definition) -> Signature:
    """Return the arguments of a step's `compile` that an experiment may set."""
    method = _method(definition, "compile")
    declared = _parameters(method, definition) if method is not None else []
    if method is None or method.args.kwarg is not None:
        names = {parameter.name for parameter in declared}
        standard = _parameters(_standard(), replace(definition, node=_standard()))
        declared += [parameter for parameter in standard if parameter.name not in names]
    line = method.lineno if method is not None else step.line
    title = f"{step.title}.compile"
    return replace(step, kind="compile", title=title, line=line, parameters=tuple(declared))


def _standard() -> ast.FunctionDef:
    return next(n for n in _STANDARD.body if isinstance(n, ast.FunctionDef))


def _parameters(function: ast.FunctionDef, owner: Definition) -> list[Parameter]:
    return [
        replace(parameter, type=compile_type(parameter))
        for parameter in declared_parameters(function, owner)
    ]


def _method(definition: Definition, name: str) -> ast.FunctionDef | None:
    """Return a method that a class or a base of it defines, outside of Keras and fitx."""
    chain = python_source.class_and_bases(definition, ends=ends_at_keras)
    methods = (python_source.method(ancestor, name) for ancestor in chain)
    return next((method for method in methods if method is not None), None)
