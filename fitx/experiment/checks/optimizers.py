"""Whether the options of Keras' optimizers go together, with the precision and with callbacks.

Keras takes what is refused here, and then ignores it or computes something else.
"""

from __future__ import annotations

from collections.abc import Iterator

from fitx.experiment.schema import Settings
from fitx.experiment.yaml.tree import KeyPath
from fitx.registry import keras_parts
from fitx.registry.kinds import Part
from fitx.registry.part_index import PartIndex

Found = Iterator[tuple[KeyPath, str]]

SET_LEARNING_RATE = ("LearningRateScheduler", "ReduceLROnPlateau")
"""Callbacks of Keras that set the learning rate of the one optimizer."""

_CLIPS = ("clipnorm", "global_clipnorm", "clipvalue")
_OF_AVERAGES = ("ema_momentum", "ema_overwrite_frequency")


def problems(settings: Settings, part_index: PartIndex) -> Found:
    """Find what optimizers cannot do together with each other, with callbacks, in a precision.

    Args:
        settings: What the experiment says.
        part_index: The parts that the experiment may name.
    """
    given = dict(_given(settings))
    yield from _callbacks(settings, given)
    scaled = settings.execution.precision == "mixed_float16"
    for path, part in given.items():
        for option, text in (*_without_effect(part), *_averages(part, part_index)):
            yield (*path, option), text
        if scaled and part.options.get("loss_scale_factor") is not None:
            text = "mixed_float16 finds the scale by itself and ignores this one; remove the key."
            yield (*path, "loss_scale_factor"), text


def _given(settings: Settings) -> Iterator[tuple[KeyPath, Part]]:
    if settings.optimizer is not None:
        yield ("optimizer",), settings.optimizer
    for name, part in settings.optimizers.items():
        yield ("optimizers", name), part


def _callbacks(settings: Settings, given: dict[KeyPath, Part]) -> Found:
    scheduled = any(isinstance(part.options.get("learning_rate"), Part) for part in given.values())
    averaged = any(part.options.get("use_ema") for part in given.values())
    for index, callback in enumerate(settings.callbacks):
        cls = keras_parts.class_name("callback", callback.name)
        if cls in SET_LEARNING_RATE and len(given) > 1:
            text = f"{cls} works with one optimizer; this experiment has {len(given)}."
            yield ("callbacks", index), text
        elif cls in SET_LEARNING_RATE and scheduled:
            text = f"{cls} sets the learning rate, which a schedule decides here; remove one."
            yield ("callbacks", index), text
        if cls == "EarlyStopping" and averaged and callback.options.get("restore_best_weights"):
            text = (
                "puts the best epoch's weights, which are not averaged, over the averages of "
                "`use_ema`; remove one. `checkpoint.monitor` keeps the best networks beside the "
                "final ones."
            )
            yield ("callbacks", index, "restore_best_weights"), text


def _without_effect(part: Part) -> Iterator[tuple[str, str]]:
    """Yield options that Keras would ignore, and those that it refuses when it is too late."""
    clips = [name for name in _CLIPS if part.options.get(name) is not None]
    for name in clips[1:]:
        yield name, f"stands beside {clips[0]}; an optimizer clips in one way."
    for name in (*clips, "loss_scale_factor"):
        value = part.options.get(name)
        if value is not None and value <= 0:
            yield name, f"expected a number above 0, found {value}."
    if part.options.get("gradient_accumulation_steps") == 1:
        yield "gradient_accumulation_steps", "expected 2 or more, found 1."


def _averages(part: Part, part_index: PartIndex) -> Iterator[tuple[str, str]]:
    if part.options.get("use_ema"):
        if keras_parts.class_name("optimizer", part.name) == "ScheduleFreeAdamW":
            yield "use_ema", "ScheduleFreeAdamW averages weights by itself; remove this key."
        if part.options.get("gradient_accumulation_steps"):
            text = "Keras averages weights after every step, not after every update; remove one."
            yield "gradient_accumulation_steps", f"does not go with use_ema: {text}"
        return
    signature = part_index.signature("optimizer", part.name)
    for name in _OF_AVERAGES:
        parameter = signature.get(name) if signature else None
        # A file that fitx wrote has all defaults in it.
        if parameter is not None and part.options.get(name, parameter.default) != parameter.default:
            yield name, "has no effect without `use_ema: true`; add it, or remove this key."
