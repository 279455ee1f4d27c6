"""Classes and functions of plugins that a network's Keras file refers to, and does not hold."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import keras

from fitx.experiment.experiment import Experiment
from fitx.experiment.plugins import PACKAGE
from fitx.experiment.problems import listed
from fitx.step import Step

_FOUND = ("builtins", "keras", "keras_hub", "keras_cv", "keras_nlp")
"""Packages in which Keras finds a class by itself."""


def notes(experiment: Experiment, step: Step) -> Iterator[str]:
    """Yield a line on each network whose file loads only once its own code has been imported.

    Without plugins there are none. Functions of Keras are known by their names alone.
    """
    functions = dict(_functions(experiment))
    for network, model in step.networks.items() if experiment.plugins else ():
        config = keras.saving.serialize_keras_object(model)
        found: dict[str, list[str]] = {}
        for name, source in dict.fromkeys(_custom(config, functions)):
            found.setdefault(source, []).append(name)
        for source, names in found.items():
            yield (
                f"networks/{network}.keras refers to {listed(names)} of {source}: import that "
                "before loading it, as docs/steps.md shows"
            )


def _custom(config: Any, functions: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what a network's configuration refers to and Keras lacks: its name and where it is."""
    if isinstance(config, dict):
        module, name = config.get("module"), config.get("class_name")
        if (module, name) == ("builtins", "function") and config.get("config") in functions:
            yield config["config"].rpartition(">")[2], functions[config["config"]]
        elif isinstance(module, str) and not _is_found(module):
            yield str(name), _source(module)
    if isinstance(config, dict | list | tuple):
        for inner in config.values() if isinstance(config, dict) else config:
            yield from _custom(inner, functions)


def _functions(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """Yield the functions of plugins, Keras' own aside: the name that Keras saves, and the file."""
    for path in experiment.plugins:
        for made in vars(sys.modules[f"{PACKAGE}.{path.stem}"]).values():
            if isinstance(made, FunctionType) and not _is_found(made.__module__):
                yield keras.saving.get_registered_name(made), _source(made.__module__)


def _is_found(module: str) -> bool:
    return module.partition(".")[0] in _FOUND


def _source(module: str) -> str:
    package, _, stem = module.partition(".")
    return f"{stem}.py" if package == PACKAGE else module
