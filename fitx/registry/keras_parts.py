"""Keras' own parts by name: optimizers, losses, metrics, schedules, layers, callbacks and others.

The names are read from the source of the modules that Keras exports; Keras is not imported.
"""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from functools import cache

from fitx.compat.keras_source import RESOLVED_BY_SHAPE, SHORT_NAMES
from fitx.registry import keras_choices, python_source
from fitx.registry.python_source import Definition
from fitx.registry.signature import Signature

_MODULES = {
    "optimizer": "keras.optimizers",
    "schedule": "keras.optimizers.schedules",
    "loss": "keras.losses",
    "metric": "keras.metrics",
    "layer": "keras.layers",
    "activation": "keras.activations",
    "initializer": "keras.initializers",
    "regularizer": "keras.regularizers",
    "constraint": "keras.constraints",
    "callback": "keras.callbacks",
}
_BASES = {
    "optimizer": {"Optimizer", "MultiOptimizer", "OptimizerMap"},
    "schedule": {"LearningRateSchedule"},
    "loss": {"Loss"},
    "metric": {"Metric", "Mean", "MeanMetricWrapper", "Sum"},
    "layer": {"Layer", "Wrapper", "InputSpec", "Input", "InputLayer"},
    "initializer": {"Initializer"},
    "regularizer": {"Regularizer"},
    "constraint": {"Constraint"},
    "callback": {"Callback", "CallbackList", "History", "ProgbarLogger"},
}
_CHECKPOINTS = "fitx keeps checkpoints itself; see `checkpoint:`"
_IS_CODE = "an experiment file cannot hold its code; write a model in a plugin"
REFUSED = {
    "callback": {
        **dict.fromkeys(("BackupAndRestore", "ModelCheckpoint", "OrbaxCheckpoint"), _CHECKPOINTS),
        "TerminateOnNaN": "fitx stops at every NaN itself, with exit code 5",
        "SwapEMAWeights": "it leaves the averaged weights in place after predicting",
        "RemoteMonitor": "it sends values over the network",
        "LambdaCallback": "an experiment file cannot hold its code; write a callback in a plugin",
    },
    "layer": dict.fromkeys(
        ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"), _IS_CODE
    ),
    "optimizer": {"LossScaleOptimizer": "`execution: {precision: mixed_float16}` brings it"},
}
"""Parts of Keras that an experiment cannot use, with the reason."""

SHAPE_DEPENDENT = {
    "metric": ("accuracy", "acc"),
    "loss": ("crossentropy", "ce"),
}
"""Names that Keras resolves by the shapes of labels and predictions; they take no options."""


@cache
def classes(kind: str) -> dict[str, str]:
    """Return the modules that define the classes or functions of one kind, by their names."""
    file = python_source.file_of(_MODULES[kind]) if kind in _MODULES else None
    if file is None:
        return {}
    left_out = _BASES.get(kind, set()) | REFUSED.get(kind, {}).keys()
    is_part_name = str.islower if kind == "activation" else _is_class_name
    return {
        name: module
        for name, (module, _) in python_source.read(file).imports.items()
        if is_part_name(name)
        and name not in left_out
        and name not in ("deserialize", "serialize", "get")
    }


@cache
def names(kind: str) -> tuple[str, ...]:
    """Return the snake_case names of the parts of one kind, sorted."""
    return tuple(sorted({snake_case(name) for name in classes(kind)}))


def class_name(kind: str, name: str) -> str | None:
    """Return the name of the Keras class (of an activation, the function) for a name, or None."""
    by_name = {without_case(cls): cls for cls in classes(kind)}
    alias = _aliases(kind).get(name, "")
    return by_name.get(without_case(name)) or by_name.get(without_case(alias))


def with_keras_types(signature: Signature) -> Signature:
    """Return the signature of a Keras part with the types that Keras accepts."""
    kind, cls = signature.kind, signature.title
    parameters = tuple(keras_choices.with_keras_type(kind, cls, p) for p in signature.parameters)
    return replace(signature, parameters=parameters)


def find(kind: str, name: str) -> Definition | None:
    """Find the source of a Keras part by name."""
    cls = class_name(kind, name)
    file = python_source.file_of(_MODULES[kind]) if cls else None
    return python_source.find(python_source.read(file), cls) if cls and file else None


@cache
def aliases(kind: str) -> tuple[str, ...]:
    """Return the short names of the parts of one kind, such as `mse`."""
    return (*(a for a in _aliases(kind) if a.islower()), *SHAPE_DEPENDENT.get(kind, ()))


def python_names(kind: str) -> tuple[str, ...]:
    """Return the names that Python code uses: those of classes, and short names in any case."""
    return (*classes(kind), *_aliases(kind))


def snake_case(name: str) -> str:
    """Return the name of a class as YAML writes it: `cosine_decay` for `CosineDecay`."""
    for brand in ("PReLU", "ReLU", "RMSprop", "AdamW", "TensorBoard", "IoU"):
        name = name.replace(brand, brand.capitalize())
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", name)
    return re.sub(r"(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def without_case(name: str) -> str:
    """Return a name in lower case without underscores, equal for both spellings."""
    return name.replace("_", "").lower()


def shape_dependent(kind: str, name: str) -> Signature | None:
    """Return the signature of a name that Keras resolves by shapes."""
    if name not in SHAPE_DEPENDENT.get(kind, ()):
        return None
    module, function = RESOLVED_BY_SHAPE[kind]
    file = python_source.file_of(module)
    if file is None:
        return None
    line = python_source.read(file).definitions[function].lineno
    word = "accuracy" if name.startswith("acc") else "crossentropy"
    doc = (
        f"Keras' binary, categorical or sparse categorical {word}, chosen by the shapes of the\n"
        "labels and predictions. It takes no options; to set some, name one of the three."
    )
    return Signature(kind, name, name, file, line, doc, ())


@cache
def _aliases(kind: str) -> dict[str, str]:
    """Return the classes of short names, read from the dictionary that `keras.losses.get` uses."""
    file = python_source.file_of(SHORT_NAMES[kind]) if kind in SHORT_NAMES else None
    if file is None:
        return {}
    return {
        key.value: value.id
        for node in ast.walk(python_source.read(file).tree)
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
        if isinstance(value, ast.Name)
    }


def _is_class_name(name: str) -> bool:
    return name[:1].isupper()


def refusal_reason(kind: str, name: str) -> str | None:
    """Return the reason why an experiment cannot use a part of Keras; None for other names."""
    by_name = {without_case(cls): reason for cls, reason in REFUSED.get(kind, {}).items()}
    return by_name.get(without_case(name))
