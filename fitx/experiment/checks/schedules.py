"""Learning rate schedules of Keras: options that go together, and the step at which they end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fitx.experiment.schema import Settings
from fitx.experiment.yaml.tree import KeyPath
from fitx.registry import keras_parts
from fitx.registry.kinds import Part

Found = Iterator[tuple[KeyPath, str]]

TOTAL = "total"
"""Stands in `decay_steps` and the like for the steps of the whole training."""


def problems(settings: Settings) -> Found:
    """Find schedules that Keras would refuse, or of which it would ignore an option."""
    parts: dict[KeyPath, Part] = {
        ("callbacks", i): part for i, part in enumerate(settings.callbacks)
    }
    parts |= {("optimizers", name): part for name, part in settings.optimizers.items()}
    if settings.optimizer is not None:
        parts[("optimizer",)] = settings.optimizer
    for path, part in parts.items():
        for name, option in part.options.items():
            if isinstance(option, Part) and option.kind == "schedule":
                for key, text in _problems(option):
                    yield (*path, name, key), text


def spans_training(part: Part) -> bool:
    """Return whether a schedule ends with the training, however long that is."""
    return any(TOTAL in (v if isinstance(v, list) else [v]) for v in part.options.values())


def with_total(part: Part, total: int) -> dict[str, Any]:
    """Return the options of a schedule with numbers in the place of `total`.

    The schedule reaches its end when the training does. Keras counts the steps of a warm-up apart
    from `decay_steps`, so those are the rest.

    Args:
        part: The schedule.
        total: Steps of the training; of a schedule by epochs, its epochs.

    Raises:
        ValueError: The warm-up takes the whole training.
    """
    options = dict(part.options)
    warmup = options.get("warmup_steps", 0) if options.get("warmup_target") is not None else 0
    if options.get("decay_steps") == TOTAL and warmup >= total > 0:
        raise ValueError(f"{warmup} steps of the training's {total}; nothing would decay.")
    numbers = {"decay_steps": max(total - warmup, 1)}
    for name, value in options.items():
        if isinstance(value, list):
            options[name] = [max(total, 1) if item == TOTAL else item for item in value]
        elif value == TOTAL:
            options[name] = numbers.get(name, max(total, 1))
    return options


def _problems(part: Part) -> Iterator[tuple[str, str]]:
    cls, options = keras_parts.class_name(part.kind, part.name), part.options
    if cls == "CosineDecay":
        has_target, steps = options.get("warmup_target") is not None, options.get("warmup_steps", 0)
        if steps and not has_target:
            yield "warmup_steps", "has no effect without `warmup_target`; add it, or remove this."

        if has_target and not steps:
            text = "takes the place of `initial_learning_rate` without `warmup_steps`; add those."
            yield "warmup_target", text
    if cls == "PiecewiseConstantDecay":
        yield from _of_pieces(options["boundaries"], options["values"])


def _of_pieces(boundaries: list[Any], values: list[float]) -> Iterator[tuple[str, str]]:
    steps = [float("inf") if step == TOTAL else step for step in boundaries]
    if any(later <= step for step, later in zip(steps, steps[1:], strict=False)):
        yield "boundaries", "expected steps that rise, each greater than the one before."
    if len(values) != len(boundaries) + 1:
        count, found = len(boundaries) + 1, len(values)
        text = f"expected {count} values, one more than boundaries; found {found}."
        yield "values", text
