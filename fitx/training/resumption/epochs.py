"""What another number of epochs means for a run that goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from fitx.experiment.checks.schedules import spans_training
from fitx.experiment.experiment import Experiment
from fitx.experiment.yaml.tree import KeyPath, dotted
from fitx.registry.kinds import Part


def nothing_left(epochs: int, done: int) -> str | None:
    """Return what to say of a run that has no epoch left to train; None if it has.

    Args:
        epochs: What `fit.epochs` asks for.
        done: Epochs that are over.
    """
    if epochs > done:
        return None
    done_are = "1 epoch is" if done == 1 else f"{done} epochs are"
    return f"nothing is left to train: {done_are} done, and fit.epochs is {epochs}"


def schedule_notes(trained: Experiment, asked: Experiment, steps_per_epoch: int) -> list[str]:
    """Return what another number of epochs does to schedules that span the whole training.

    Args:
        trained: The experiment as its run was begun.
        asked: The experiment as it is to go on.
        steps_per_epoch: Of the training, where it goes on.
    """
    before, now = trained.fit.epochs, asked.fit.epochs
    if before == now:
        return []
    known, lines = set(_spanning(trained)), []
    for path in _spanning(asked):
        # What Keras' callbacks schedule goes by epochs.
        each, unit = (1, "epochs") if path[0] == "callbacks" else (steps_per_epoch, "steps")
        if path in known:
            spans = f"spans {now * each:,} {unit} instead of {before * each:,} now"
            lines.append(f"{dotted(path)}: the schedule {spans}; the rate jumps where it goes on")
    return lines


def _spanning(experiment: Experiment) -> Iterator[KeyPath]:
    """Yield where schedules stand that end with the training."""
    yield from _totals(experiment.optimizers, ("optimizers",))
    yield from _totals(experiment.callbacks, ("callbacks",))


def _totals(value: Any, path: KeyPath) -> Iterator[KeyPath]:
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
        yield from _totals(item, (*path, key))
