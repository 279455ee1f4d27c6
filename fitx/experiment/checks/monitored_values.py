"""Checks the names of logged values that callbacks, checkpoints and expectations monitor."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from fitx.experiment.experiment import Experiment
from fitx.experiment.output_parts import logged_names
from fitx.experiment.problems import Findings, listed, nearest
from fitx.experiment.schema import Fit, Settings
from fitx.experiment.yaml.tree import KeyPath
from fitx.registry.kinds import Part
from fitx.registry.part_index import PartIndex
from fitx.registry.signature import NO_DEFAULT
from fitx.registry.step_facts import StepFacts

_LESS = "loss|error|crossentropy|mse|mae|mape|msle|divergence|perplexity|poisson|hinge"
_MORE = "accuracy|acc|auc|precision|recall|f1|f_beta|iou|r2|similarity|correlation|psnr"


def find_monitor_problems(
    settings: Settings, part_index: PartIndex, facts: StepFacts | None, wrong_keys: set[str]
) -> Findings:
    """Yield names of values that are never logged, and monitored ones of unknown direction.

    Args:
        settings: The settings, without values that are wrong.
        part_index: The parts that the experiment may name.
        facts: The declared facts of the step; None for a step of a plugin.
        wrong_keys: Top-level keys that have a problem already.
    """
    if settings.checkpoint.mode and settings.checkpoint.monitor is None:
        yield ("checkpoint", "mode"), "has no effect without `monitor`; add it, or remove this key."
    if wrong_keys & {"metrics", "weighted_metrics"}:
        return
    if facts is not None and not _are_names_known(settings, part_index, facts):
        # They are checked when the step is traced.
        facts = None
    names = sorted(logged(settings, facts)) if facts is not None else []
    in_training = [*names, *(f"val_{name}" for name in names)]
    for path, name, mode in _monitors(settings, part_index):
        if facts is not None and name not in in_training:
            yield path, not_logged(name, in_training)
        elif facts is not None and _is_never_validated(name, settings.fit):
            yield path, never_validated(name, settings.fit)
        elif mode is None and direction(name) is None:
            yield path, unknown_direction(name)
    if facts is not None:
        yield from _find_unlogged(settings, names)


def _find_unlogged(settings: Settings, names: Sequence[str]) -> Findings:
    """Yield names of `allow_nan` and of expectations that are never logged."""
    for index, name in enumerate(settings.fit.allow_nan):
        if name not in names:
            yield ("fit", "allow_nan", index), not_logged(name, names)
    at_the_end = [f"{prefix}{name}" for prefix in ("", "val_", "test_") for name in names]
    for name in settings.expect:
        if name not in at_the_end:
            yield ("expect", name), not_logged(name, at_the_end)
        elif _is_never_validated(name, settings.fit):
            yield ("expect", name), never_validated(name, settings.fit)


def direction(name: str) -> Literal["min", "max"] | None:
    """Return min or max for a value whose name tells which is better, None for any other.

    `val_loss` and `mean_squared_error` are better small, `test_accuracy` is better large.
    """
    if re.search(rf"(^|_)({_LESS})(_|$)", name):
        return "min"
    return "max" if re.search(rf"(^|_)({_MORE})(_|$)", name) else None


def logged(experiment: Settings | Experiment, facts: StepFacts) -> set[str]:
    """Return the names that a shipped step logs in training and in evaluation."""
    if "metrics" not in facts.uses:
        return set(facts.logs)
    metrics = logged_names(experiment.metrics)
    weighted = logged_names(experiment.weighted_metrics)
    # Keras adds this prefix to a name that is in both lists.
    weighted = {f"weighted_{name}" if name in metrics else name for name in weighted}
    losses = experiment.loss if isinstance(experiment.loss, dict) else {}
    outputs = [name for name, loss in losses.items() if loss is not None]
    by_output = {f"{name}_loss" for name in outputs} if len(outputs) > 1 else set()
    return {*facts.logs, *by_output, *metrics, *weighted}


def _are_names_known(settings: Settings, part_index: PartIndex, facts: StepFacts) -> bool:
    """Return whether an experiment tells what is logged; a network may name outputs that log more.

    Shipped models have one output.
    """
    if "metrics" not in facts.uses:
        return True
    lists = (settings.metrics, settings.weighted_metrics)
    are_in_order = any(isinstance(item, list) for metrics in lists for item in metrics)
    if are_in_order or isinstance(settings.loss, list):
        return False
    models = [settings.model, *settings.networks.values()]
    names = [model.name for model in models if isinstance(model, Part)]
    return isinstance(settings.loss, dict) or all(
        part_index.is_shipped("model", name) for name in names
    )


def monitored(callback: Part, part_index: PartIndex) -> tuple[str | None, str | None]:
    """Return the name that a callback monitors, and its mode, each None where it has none."""
    signature = part_index.signature("callback", callback.name)
    parameter = signature.get("monitor") if signature else None
    if parameter is None:
        return None, None
    default = parameter.default if parameter.default is not NO_DEFAULT else None
    mode = callback.options.get("mode", "auto")
    return callback.options.get("monitor", default), None if mode == "auto" else mode


def not_logged(name: str, logged_names: Sequence[str]) -> str:
    """Return the message for a monitored name that is not logged."""
    verb = "are" if len(logged_names) > 1 else "is"
    logs = f"logged {verb} {listed(logged_names)}" if logged_names else "nothing is logged"
    return f"'{name}' is not logged; {logs}.{nearest(name, logged_names)}"


def unknown_direction(name: str) -> str:
    """Return the message for a monitored name that does not tell whether less is better."""
    text = f"fitx does not know whether less or more of '{name}' is better"
    return f"{text}; add `mode: min` or `mode: max`."


def never_validated(name: str, fit: Fit) -> str:
    """Return the message for a monitored name of a validation that does not take place."""
    validation = f"validation runs every {fit.validation_freq} epochs"
    return f"'{name}' is never logged: {validation}, and fit.epochs is {fit.epochs}."


def _is_never_validated(name: str, fit: Fit) -> bool:
    return name.startswith("val_") and fit.is_never_validated


def _monitors(
    settings: Settings, part_index: PartIndex
) -> Iterator[tuple[KeyPath, str, str | None]]:
    """Yield (path, name, mode) of every key that monitors a logged value."""
    checkpoint = settings.checkpoint
    if checkpoint.monitor is not None:
        yield ("checkpoint", "monitor"), checkpoint.monitor, checkpoint.mode
    for index, callback in enumerate(settings.callbacks):
        name, mode = monitored(callback, part_index)
        if name is not None:
            yield ("callbacks", index, "monitor"), name, mode
