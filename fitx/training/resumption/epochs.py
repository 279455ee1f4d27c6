"""Notes on a resume with another number of epochs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from fitx.experiment.checks.schedules import spans_training
from fitx.experiment.experiment import Experiment
from fitx.experiment.yaml.tree import KeyPath, dotted
from fitx.registry.kinds import Part

_TOTAL = "total_steps"
"""The parameter of a step that gets the number of all training steps."""


def nothing_left_note(epochs: int, done: int) -> str | None:
    """Return a note on a run that has no epoch left to train; None if it has.

    Args:
        epochs: The value of `fit.epochs`.
        done: The number of finished epochs.
    """
    if epochs > done:
        return None
    done_are = "1 epoch is" if done == 1 else f"{done} epochs are"
    return f"nothing is left to train: {done_are} done, and fit.epochs is {epochs}"


def schedule_notes(trained: Experiment, experiment: Experiment, steps_per_epoch: int) -> list[str]:
    """Return a note on each schedule that spans the training and changes with its length.

    Args:
        trained: The experiment that the run was trained with.
        experiment: The experiment to continue with.
        steps_per_epoch: Training steps per epoch from now on.
    """
    before, now = trained.fit.epochs, experiment.fit.epochs
    if before == now:
        return []
    trained_keys, lines = set(_spanning(trained)), list(_total_steps_notes(experiment))
    for path in _spanning(experiment):
        # Keras' callbacks count the steps of a schedule in epochs.
        steps_per_unit, unit = (
            (1, "epochs") if path[0] == "callbacks" else (steps_per_epoch, "steps")
        )
        if path in trained_keys:
            spans = (
                f"spans {now * steps_per_unit:,} {unit} instead of {before * steps_per_unit:,} now"
            )
            lines.append(f"{dotted(path)}: the schedule {spans}; its learning rate jumps here")
    return lines


def _spanning(experiment: Experiment) -> Iterator[KeyPath]:
    """Yield the keys of schedules that span the whole training."""
    yield from _schedules(experiment.optimizers_by_key, ())
    yield from _schedules(experiment.compile, ("compile",))
    yield from _schedules(experiment.callbacks, ("callbacks",))


def _total_steps_notes(experiment: Experiment) -> Iterator[str]:
    """Yield a note if the step gets the number of all training steps from fitx."""
    part_index, step = experiment.part_index, experiment.step
    for key, signature, options in (
        ("step", part_index.signature("step", step.name), step.options),
        ("compile", part_index.compile_signature(step.name), experiment.compile),
    ):
        if signature is not None and signature.get(_TOTAL) and _TOTAL not in options:
            yield f"{key}.{_TOTAL}: changes with fit.epochs; what the step makes of it changes here"


def _schedules(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    if isinstance(value, Part):
        if value.kind == "schedule" and spans_training(value):
            yield path
        value = value.options
    items: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        yield from _schedules(item, (*path, key))
