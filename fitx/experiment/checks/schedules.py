"""Learning rate schedules of Keras: checks of their options, and `decay_steps: total`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fitx.experiment.problems import Findings
from fitx.experiment.schema import Settings
from fitx.experiment.yaml.tree import KeyPath
from fitx.registry import keras_parts
from fitx.registry.kinds import Part

TOTAL = "total"
"""The value of `decay_steps` and similar options that means all steps of the training."""


def find_schedule_problems(settings: Settings) -> Findings:
    """Yield options of schedules that Keras would refuse or ignore."""
    callbacks: dict[KeyPath, Part] = {
        ("callbacks", index): part for index, part in enumerate(settings.callbacks)
    }
    for path, part in {**callbacks, **settings.all_optimizers}.items():
        for name, option in part.options.items():
            if isinstance(option, Part) and option.kind == "schedule":
                for key, text in _option_problems(option):
                    yield (*path, name, key), text


def spans_training(part: Part) -> bool:
    """Return whether a schedule has an option that is `total`."""
    return any(TOTAL in (v if isinstance(v, list) else [v]) for v in part.options.values())


def with_total(part: Part, total: int) -> dict[str, Any]:
    """Return the options of a schedule with numbers in place of `total`.

    Keras counts the steps of the warm-up in addition to `decay_steps`, so they are subtracted.

    Args:
        part: The schedule.
        total: Steps of the training; for a schedule of epochs, its epochs.

    Raises:
        ValueError: The warm-up takes the whole training.
    """
    options = dict(part.options)
    warmup = options.get("warmup_steps", 0) if options.get("warmup_target") is not None else 0
    if options.get("decay_steps") == TOTAL and warmup >= total > 0:
        raise ValueError(f"{warmup} steps of {total} in the training; none would be left to decay.")
    numbers = {"decay_steps": max(total - warmup, 1)}
    for name, value in options.items():
        if isinstance(value, list):
            options[name] = [max(total, 1) if item == TOTAL else item for item in value]
        elif value == TOTAL:
            options[name] = numbers.get(name, max(total, 1))
    return options


def _option_problems(part: Part) -> Iterator[tuple[str, str]]:
    cls, options = keras_parts.class_name(part.kind, part.name), part.options
    if cls == "CosineDecay":
        has_target, steps = options.get("warmup_target") is not None, options.get("warmup_steps", 0)
        if steps and not has_target:
            text = "has no effect without `warmup_target`; add it, or remove this option."
            yield "warmup_steps", text
        if has_target and not steps:
            text = "replaces `initial_learning_rate` if there are no `warmup_steps`; add them."
            yield "warmup_target", text
    if cls == "PiecewiseConstantDecay":
        yield from _piecewise_problems(options["boundaries"], options["values"])


def _piecewise_problems(boundaries: list[Any], values: list[float]) -> Iterator[tuple[str, str]]:
    steps = [float("inf") if step == TOTAL else step for step in boundaries]
    if any(later <= step for step, later in zip(steps, steps[1:], strict=False)):
        yield "boundaries", "expected increasing steps."
    if len(values) != len(boundaries) + 1:
        count, found = len(boundaries) + 1, len(values)
        text = f"expected {count} values, one more than boundaries; found {found}."
        yield "values", text
