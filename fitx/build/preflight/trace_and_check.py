"""Runs all checks of data, networks, loss and logged names before the first step."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace

from fitx.build.built import BuiltExperiment
from fitx.build.error_attribution import first_sentence, raised_by_user_code, user_errors
from fitx.build.preflight import activations, labels, metric_checks, network_checks, unused_keys
from fitx.build.step_errors import lacks_optimizer, returning_frame
from fitx.build.step_feeds import batch_layout
from fitx.compat.error_texts import came_through
from fitx.data.batch_layout import BatchLayout
from fitx.engine.epoch_logs import NotOneNumber
from fitx.engine.step_runner import MissingLoss
from fitx.errors import DataError, FitxError, UserCodeError
from fitx.experiment.checks.consistency import missing_loss
from fitx.experiment.checks.monitored_values import (
    direction,
    monitored,
    never_validated,
    not_logged,
)
from fitx.experiment.experiment import Experiment
from fitx.experiment.output_parts import is_logged_as, parts_by_key
from fitx.experiment.problems import ConfigError, Problem
from fitx.experiment.yaml.tree import KeyPath
from fitx.registry.kinds import Part
from fitx.registry.part_index import PartIndex


def check(built: BuiltExperiment) -> None:
    """Check the data and the networks against loss and metrics.

    Raises:
        DataError: The data does not fit; with every problem of it.
        ConfigError: The loss or metrics cannot use the network's output.
    """
    of_data = list(dict.fromkeys(labels.problems(built)))
    if of_data:
        raise DataError("\n".join(of_data))
    problems = [
        *activations.problems(built),
        *metric_checks.problems(built),
        *network_checks.batch_size_problems(built),
        *network_checks.optimizer_problems(built),
    ]
    if problems:
        raise ConfigError(problems)


def trace(
    built: BuiltExperiment,
    kind: str = "train",
    split: str = "train",
    steps: int | None = None,
    *,
    returns_values: bool = False,
) -> None:
    """Trace a step's method on the batches of a split, before a run folder is made.

    Args:
        built: The experiment, with its step.
        kind: The method: "train" or "test".
        split: Name of the split; training runs on train.
        steps: Batches of one evaluation; None for `built.evaluation_steps`.
        returns_values: Whether a callback is going to read the values of batches.

    Raises:
        UserCodeError: A plugin's step raised an error; with the plugin's frames.
        ConfigError: A shipped step cannot run on these networks and this data.
    """
    batches = batch_layout(built, kind, split, steps)
    breakpoints = _no_breakpoints() if built.experiment.execution.eager else nullcontext()
    with breakpoints, user_errors(built.experiment, lambda: f"{kind}_step on the {split} split"):
        _trace(built, kind, batches, returns_values=returns_values)


@contextmanager
def _no_breakpoints() -> Iterator[None]:
    """Pass over calls of `breakpoint()`: while a step is traced, its tensors have no values."""
    hook, sys.breakpointhook = sys.breakpointhook, lambda *args, **keywords: None
    try:
        yield
    finally:
        sys.breakpointhook = hook


def check_names(built: BuiltExperiment) -> None:
    """Check an experiment against what its traced step uses and logs. Raises ConfigError."""
    train, test = built.step.execution.logs["train"].names, built.step.execution.logs["test"].names
    splits = built.data.splits
    validates = "validation" in splits and not built.experiment.fit.is_never_validated
    seen = [*train, *(f"val_{name}" for name in test if validates)]
    tested = [*seen, *(f"test_{name}" for name in test if "test" in splits)]
    watched = [(path, name, seen) for path, name in _monitors(built)]
    watched += [(("expect", name), name, tested) for name in built.experiment.expect]
    problems = [*unused_keys.problems(built), *_allowed_nan(built, {*train, *test})]
    problems += [_not_logged(built, *item) for item in watched if item[1] not in item[2]]
    if problems:
        raise ConfigError(problems)


def _allowed_nan(built: BuiltExperiment, logged: set[str]) -> Iterator[Problem]:
    for index, name in enumerate(built.experiment.fit.allow_nan):
        if name not in logged:
            text = not_logged(name, sorted(logged))
            yield built.experiment.problem(("fit", "allow_nan", index), text)


def with_mode(part: Part, part_index: PartIndex) -> Part:
    """Return a Keras callback with its `mode` set, which Keras cannot guess for a step's names."""
    name, mode = monitored(part, part_index)
    guessed = direction(name) if name is not None and mode is None else None
    return replace(part, options={**part.options, "mode": guessed}) if guessed else part


def _monitors(built: BuiltExperiment) -> Iterator[tuple[KeyPath, str]]:
    experiment = built.experiment
    if experiment.checkpoint.monitor is not None:
        yield ("checkpoint", "monitor"), experiment.checkpoint.monitor
    for index, callback in enumerate(experiment.callbacks):
        name, _ = monitored(callback, experiment.part_index)
        if name is not None:
            yield ("callbacks", index, "monitor"), name


def _not_logged(
    built: BuiltExperiment, path: KeyPath, name: str, logged_names: list[str]
) -> Problem:
    fit = built.experiment.fit
    if name.startswith("val_") and "validation" in built.data.splits and fit.is_never_validated:
        return built.experiment.problem(path, never_validated(name, fit))
    text = not_logged(name, logged_names)
    is_hinted = text.endswith("?") or not name.startswith("val_")
    return built.experiment.problem(
        path, text if is_hinted else f"{text} Set data.validation_split."
    )


def _trace(
    built: BuiltExperiment, kind: str, batches: BatchLayout, *, returns_values: bool
) -> None:
    experiment, execution = built.experiment, built.step.execution
    try:
        execution.trace(kind, batches.spec, batches.full_rows, returns_values=returns_values)
    except UserCodeError as error:
        name = error.name if isinstance(error, NotOneNumber) else None
        path = _metric(experiment, name) if name is not None else None
        if isinstance(error, NotOneNumber) and path is not None:
            text = f"gives {error.description}, and what is logged is one number; "
            text += _to_one_number(experiment, path)
            raise experiment.error(path, text) from error
        method = getattr(built.step, f"{kind}_step")
        error.frames = error.frames or returning_frame(experiment, method, name)
        raise
    except MissingLoss as error:
        raise experiment.error(("loss",), missing_loss(experiment.step.name)) from error
    except FitxError:
        raise
    except Exception as error:
        if lacks_optimizer(built, error):
            text = f"missing; step '{experiment.step.name}' updates weights by self.optimizer, for"
            raise experiment.error(("optimizer",), f"{text} example `optimizer: adam`.") from error
        if raised_by_user_code(experiment, error):
            raise
        text = f"step '{experiment.step.name}' cannot run on these networks and this data: "
        raise experiment.error(_culprit(error), text + first_sentence(error)) from error


def _to_one_number(experiment: Experiment, path: KeyPath) -> str:
    """Return the advice on the option that makes a metric return one number."""
    part = dict(parts_by_key(getattr(experiment, str(path[0])), path[:1]))[path]
    signature = experiment.part_index.signature("metric", part.name)
    options = {"average": "macro", "class_aggregation": "uniform_average"}
    known_names = (name for name in options if signature is not None and signature.get(name))
    name = next(known_names, None)
    return "see its options." if name is None else f"add {name}: {options[name]}."


def _metric(experiment: Experiment, logged: str) -> KeyPath | None:
    """Return the key of the metric that is logged by a name."""
    for key in ("metrics", "weighted_metrics"):
        for path, part in parts_by_key(getattr(experiment, key), (key,)):
            if is_logged_as(part, path, {logged}):
                return path
    return None


def _culprit(error: Exception) -> KeyPath:
    """Return the key of the part that raised, by the files of Keras in the traceback."""
    for folder, key in (("metrics", "metrics"), ("losses", "loss")):
        if came_through(error, folder):
            return (key,)
    return ("step",)
