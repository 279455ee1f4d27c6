"""Whether data, networks, loss and logged names agree, checked before the first step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from fitx.build.blame import first_line, is_users, user_errors
from fitx.build.trial import Trial
from fitx.data.feed import evaluation_batches, training_batches
from fitx.data.splits import Split
from fitx.engine import StepFunction
from fitx.errors import DataError, FitxError
from fitx.experiment.agree import monitored
from fitx.experiment.direction import direction
from fitx.experiment.problems import ConfigError, listed, nearest
from fitx.registry import keras_parts
from fitx.registry.catalogue import Catalogue
from fitx.registry.kinds import Part

_ELEMENTWISE_BY_CLASS = {"CategoricalCrossentropy", "CategoricalFocalCrossentropy"}
_PROBABILITIES = {"BinaryCrossentropy", "BinaryFocalCrossentropy"}
_SPARSE = "SparseCategoricalCrossentropy"


def check(trial: Trial) -> None:
    """Check the data against networks and loss. Raises DataError with every problem."""
    problems = list(_data_problems(trial))
    if problems:
        raise DataError("\n".join(problems))


def trace(trial: Trial, splits: tuple[str, ...] = ("train",)) -> None:
    """Trace the step on the shapes of the splits, before a run folder is made.

    Raises:
        UserCodeError: A plugin's step raised; with its own frames.
        ConfigError: A shipped step cannot run on these networks and this data.
    """
    for split in splits:
        with_train = split == "train"
        function = trial.step.make_train_function if with_train else trial.step.make_test_function
        batches = training_batches(trial.data) if with_train else _evaluated(trial, split)
        with user_errors(trial.experiment):
            _trace(trial, function(), batches)


def check_names(trial: Trial) -> None:
    """Check every monitored name against what the traced step logs. Raises ConfigError."""
    train = list(trial.step.logs["train"].names or ())
    test = list(trial.step.logs["test"].names or ())
    seen = [*train, *(f"val_{name}" for name in test if "validation" in trial.data.splits)]
    tested = [*seen, *(f"test_{name}" for name in test if "test" in trial.data.splits)]
    watched = [(path, name, seen) for path, name in _monitors(trial)]
    watched += [(("expect", name), name, tested) for name in trial.experiment.expect]
    problems = [
        trial.experiment.problem(path, _not_logged(name, known))
        for path, name, known in watched
        if name not in known
    ]
    if problems:
        raise ConfigError(problems)


def with_mode(part: Part, catalogue: Catalogue) -> Part:
    """Return a Keras callback with its `mode` said, which Keras cannot guess for a step's names."""
    name, mode = monitored(part, catalogue)
    guessed = direction(name) if name is not None and mode is None else None
    return replace(part, options={**part.options, "mode": guessed}) if guessed else part


def _monitors(trial: Trial) -> Iterator[tuple[tuple[str | int, ...], str]]:
    experiment = trial.experiment
    if experiment.checkpoint.monitor is not None:
        yield ("checkpoint", "monitor"), experiment.checkpoint.monitor
    for index, callback in enumerate(experiment.callbacks):
        name, _ = monitored(callback, experiment.catalogue)
        if name is not None:
            yield ("callbacks", index, "monitor"), name


def _not_logged(name: str, known: list[str]) -> str:
    needs = " Set data.validation_split." if name.startswith("val_") else ""
    hint = nearest(name, known) or needs
    return f"'{name}' is not logged; logged are {listed(known)}.{hint}"


def _evaluated(trial: Trial, split: str) -> tf.data.Dataset:
    return evaluation_batches(trial.data.splits[split], trial.data.batch_size)


def _trace(trial: Trial, function: StepFunction, batches: tf.data.Dataset) -> None:
    try:
        function.trace(batches)
    except FitxError:
        raise
    except Exception as error:
        if is_users(trial.experiment, error):
            raise
        name = trial.experiment.step.name
        text = f"step '{name}' cannot run on these networks and this data: {first_line(error)}"
        raise trial.experiment.error(("step",), text) from error


def _data_problems(trial: Trial) -> Iterator[str]:
    networks = trial.step.networks
    for split, arrays in trial.data.splits.items():
        if len(networks) == 1:
            yield from _input_problems(split, arrays, next(iter(networks.items())))
        if trial.experiment.facts.takes_loss and arrays.y is None:
            name = trial.experiment.step.name
            yield f"{split}: step '{name}' learns from labels, and this data has no y."
        elif trial.experiment.loss is not None and len(networks) == 1:
            network = next(iter(networks.values()))
            yield from _label_problems(split, arrays, network, trial.experiment.loss)


def _input_problems(split: str, arrays: Split, named: tuple[str, keras.Model]) -> Iterator[str]:
    name, network = named
    expected, found = tuple(network.input_shape[1:]), arrays.x.shape[1:]
    fits = len(expected) == len(found) and all(
        e in (None, f) for e, f in zip(expected, found, strict=True)
    )
    if not fits:
        yield f"{split}: one x has shape {found}; the network '{name}' takes {expected}."


def _label_problems(split: str, arrays: Split, network: Any, loss: Part) -> Iterator[str]:
    y, outputs = arrays.y, tuple(network.output_shape[1:])
    cls = keras_parts.class_name("loss", loss.name)
    if y is None:
        return
    if cls == _SPARSE:
        yield from _class_problems(split, y, outputs, loss)
    elif _squeezed(y.shape[1:]) != _squeezed(outputs) and cls is not None:
        yield (
            f"{split}: one y has shape {y.shape[1:]}, the network's output {outputs}; "
            f"{loss.name} compares them element by element."
        )
    elif cls in _PROBABILITIES | _ELEMENTWISE_BY_CLASS and (y.min() < 0 or y.max() > 1):
        yield f"{split}: y lies in [{y.min()}, {y.max()}]; {loss.name} takes values from 0 to 1."


def _class_problems(
    split: str, y: np.ndarray, outputs: tuple[int, ...], loss: Part
) -> Iterator[str]:
    if math.prod(y.shape[1:]) != math.prod(outputs[:-1]):
        yield f"{split}: one y has shape {y.shape[1:]}; {loss.name} takes one class number."
        return
    classes = outputs[-1] if outputs else 1
    ignored = loss.options.get("ignore_class")
    labels = y if ignored is None else y[y != ignored]
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        yield (
            f"{split}: labels run from {labels.min()} to {labels.max()}; with the network's "
            f"{classes} outputs {loss.name} takes 0 to {classes - 1}."
        )
    elif not np.issubdtype(y.dtype, np.integer) and np.any(labels != np.floor(labels)):
        yield f"{split}: y holds fractions; {loss.name} takes class numbers."


def _squeezed(shape: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a shape without a last axis of 1, which Keras adds and drops by itself."""
    return shape[:-1] if shape[-1:] == (1,) else shape
