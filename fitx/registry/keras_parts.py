"""Keras' own parts by name: optimizers, losses, metrics, schedules, layers, callbacks, ...

The names come from the lists that Keras exports, read as text, so looking one up imports nothing.
"""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from functools import cache

from fitx.registry import keras_choices, python_source
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
_IS_CODE = "it holds code, which an experiment cannot; write a model in a plugin"
REFUSED = {
    "callback": {
        **dict.fromkeys(("BackupAndRestore", "ModelCheckpoint", "OrbaxCheckpoint"), _CHECKPOINTS),
        "TerminateOnNaN": "fitx stops at every NaN itself, with exit code 5",
        "SwapEMAWeights": "it leaves the averaged weights in place after predicting",
        "RemoteMonitor": "it sends values over the network",
        "LambdaCallback": "it holds code, which an experiment cannot; write a callback in a plugin",
    },
    "layer": dict.fromkeys(
        ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"), _IS_CODE
    ),
    "optimizer": {"LossScaleOptimizer": "`execution: {precision: mixed_float16}` brings it"},
}
"""Parts of Keras that have no place in an experiment, and why."""

SPECIAL = {
    "metric": ("accuracy", "acc", "crossentropy", "ce"),
    "loss": ("crossentropy", "ce"),
}
"""Names that Keras resolves from the shapes it sees; they take no options."""


@cache
def classes(kind: str) -> dict[str, str]:
    """Return {class or function name: the module that defines it} of one kind."""
    file = python_source.file_of(_MODULES[kind]) if kind in _MODULES else None
    if file is None:
        return {}
    left_out = _BASES.get(kind, set()) | REFUSED.get(kind, {}).keys()
    wanted = str.islower if kind == "activation" else _is_class_name
    return {
        name: module
        for name, (module, _) in python_source.read(file).imports.items()
        if wanted(name) and name not in left_out and name not in ("deserialize", "serialize", "get")
    }


@cache
def names(kind: str) -> tuple[str, ...]:
    """Return the snake_case name of every part of one kind, sorted."""
    return tuple(sorted({snake_case(name) for name in classes(kind)}))


def class_name(kind: str, name: str) -> str | None:
    """Return the Keras class (activation: function) that a name stands for, or None."""
    known = {squash(c): c for c in classes(kind)}
    return known.get(squash(name)) or known.get(squash(_aliases(kind).get(name, "")))


def narrowed(signature: Signature) -> Signature:
    """Return the signature of a part with the types of what Keras understands."""
    kind, cls = signature.kind, signature.title
    parameters = tuple(keras_choices.narrowed(kind, cls, p) for p in signature.parameters)
    return replace(signature, parameters=parameters)


def find(kind: str, name: str) -> python_source.Found | None:
    """Find the source of a Keras part by its name."""
    cls = class_name(kind, name)
    file = python_source.file_of(_MODULES[kind]) if cls else None
    return python_source.find(python_source.read(file), cls) if cls and file else None


@cache
def aliases(kind: str) -> tuple[str, ...]:
    """Return the short names that Keras knows besides, such as `mse`."""
    return (*(a for a in _aliases(kind) if a.islower()), *SPECIAL.get(kind, ()))


def as_in_python(kind: str) -> tuple[str, ...]:
    """Return the names that Python code uses: classes, and short names in any case."""
    return (*classes(kind), *_aliases(kind))


def snake_case(name: str) -> str:
    """Return a class name as it is written in YAML: `CosineDecay` is `cosine_decay`."""
    for brand in ("PReLU", "ReLU", "RMSprop", "AdamW", "TensorBoard", "IoU"):
        name = name.replace(brand, brand.capitalize())
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", name)
    return re.sub(r"(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def squash(name: str) -> str:
    """Return a name without case and underscores, so that both spellings meet."""
    return name.replace("_", "").lower()


def special(kind: str, name: str) -> Signature | None:
    """Return the signature of a name that Keras resolves from the shapes it sees."""
    file = python_source.file_of("keras.src.trainers.compile_utils")
    if file is None or name not in SPECIAL.get(kind, ()):
        return None
    line = python_source.read(file).definitions[f"get_{kind}"].lineno
    sort = "accuracy" if name.startswith("acc") else "crossentropy"
    doc = (
        f"Keras' binary, categorical or sparse categorical {sort}, chosen by the shapes of the\n"
        "labels and predictions. It takes no options; to set some, name the one you mean."
    )
    return Signature(kind, name, name, file, line, doc, ())


@cache
def _aliases(kind: str) -> dict[str, str]:
    """Read the short names from the dictionary that `keras.losses.get` looks them up in."""
    file = python_source.file_of(f"keras.src.{kind}es" if kind == "loss" else f"keras.src.{kind}s")
    if kind not in ("loss", "metric", "regularizer", "initializer") or file is None:
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


def refused(kind: str, name: str) -> str | None:
    """Return why a part of Keras has no place in an experiment, None for any other name."""
    by_name = {squash(known): reason for known, reason in REFUSED.get(kind, {}).items()}
    return by_name.get(squash(name))
