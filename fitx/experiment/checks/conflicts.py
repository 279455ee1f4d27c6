"""Finds options of optimizers, callbacks and `execution:` that do not work together.

Keras accepts the combinations of optimizers and callbacks, and then ignores an option or computes
something else.
"""

from __future__ import annotations

from collections.abc import Iterator

from fitx.experiment.problems import Findings
from fitx.experiment.schema import Execution, Settings
from fitx.registry import keras_parts
from fitx.registry.kinds import Part
from fitx.registry.part_index import PartIndex

SET_LEARNING_RATE = ("LearningRateScheduler", "ReduceLROnPlateau")
"""Callbacks of Keras that set the learning rate of the only optimizer."""

_CLIPPING = ("clipnorm", "global_clipnorm", "clipvalue")
_AVERAGING = ("ema_momentum", "ema_overwrite_frequency")
_ONE_DEVICE = ("gradient_accumulation_steps", "ema_overwrite_frequency")
"""Options of optimizers that Keras supports on one device only."""


def find_optimizer_conflicts(settings: Settings, part_index: PartIndex) -> Findings:
    """Yield options of optimizers that conflict with each other, callbacks or the precision."""
    yield from _callback_conflicts(settings)
    is_scaled = settings.execution.precision == "mixed_float16"
    for path, part in settings.all_optimizers.items():
        for option, text in (*_clipping_and_scale(part), *_averaging(part, part_index)):
            yield (*path, option), text
        if is_scaled and part.options.get("loss_scale_factor") is not None:
            text = "mixed_float16 chooses the scale itself and ignores this option; remove it."
            yield (*path, "loss_scale_factor"), text


def find_execution_conflicts(settings: Settings) -> Findings:
    """Yield keys that do not work together with `execution.strategy` or `execution.eager`."""
    execution = settings.execution
    if execution.eager:
        yield from _eager_conflicts(execution)
    name, virtual_devices = execution.strategy, execution.virtual_devices
    if virtual_devices is not None and name != "mirrored":
        yield ("execution", "virtual_devices"), "has no effect without `strategy: mirrored`."
    elif virtual_devices is not None and execution.device.startswith("gpu"):
        text = f"splits a CPU, but execution.device is {execution.device}; remove one of them."
        yield ("execution", "virtual_devices"), text
    if name == "auto":
        return
    if execution.mode not in ("auto", "plain"):
        text = f"strategy {name} runs one step per call; write plain, or remove the key."
        yield ("execution", "mode"), text
    if ":" in execution.device:
        text = f"strategy {name} uses all GPUs; write gpu, and choose GPUs by CUDA_VISIBLE_DEVICES."
        yield ("execution", "device"), text
    for path, part in settings.all_optimizers.items():
        for option in _ONE_DEVICE:
            if part.options.get(option) is not None:
                text = f"Keras supports this on one device only, not with strategy {name}; "
                yield (*path, option), f"{text}remove it."


def _eager_conflicts(execution: Execution) -> Findings:
    if execution.mode not in ("auto", "plain"):
        text = "execution.eager runs one step per call, as Python; write plain, or remove the key."
        yield ("execution", "mode"), text
    if execution.strategy != "auto":
        text = f"works on one device, not with strategy {execution.strategy}; remove one of them."
        yield ("execution", "eager"), text


def _callback_conflicts(settings: Settings) -> Findings:
    optimizers = settings.all_optimizers.values()
    is_scheduled = any(isinstance(part.options.get("learning_rate"), Part) for part in optimizers)
    is_averaged = any(part.options.get("use_ema") for part in optimizers)
    for index, callback in enumerate(settings.callbacks):
        cls = keras_parts.class_name("callback", callback.name)
        if cls in SET_LEARNING_RATE and len(optimizers) > 1:
            text = f"{cls} works with one optimizer only; this experiment has {len(optimizers)}."
            yield ("callbacks", index), text
        elif cls in SET_LEARNING_RATE and is_scheduled:
            text = f"{cls} and a schedule both set the learning rate; remove one of them."
            yield ("callbacks", index), text
        restores = callback.options.get("restore_best_weights")
        if cls == "EarlyStopping" and is_averaged and restores:
            text = (
                "replaces the averages of `use_ema` by weights that are not averaged; remove one "
                "of the two options. `checkpoint.monitor` keeps the best networks as well."
            )
            yield ("callbacks", index, "restore_best_weights"), text


def _clipping_and_scale(part: Part) -> Iterator[tuple[str, str]]:
    """Yield options that Keras would ignore, or would refuse only when the training starts."""
    clipping = [name for name in _CLIPPING if part.options.get(name) is not None]
    for name in clipping[1:]:
        yield name, f"conflicts with {clipping[0]}; an optimizer clips in one way only."
    for name in (*clipping, "loss_scale_factor"):
        value = part.options.get(name)
        if value is not None and value <= 0:
            yield name, f"expected a number above 0, found {value}."
    if part.options.get("gradient_accumulation_steps") == 1:
        yield "gradient_accumulation_steps", "expected 2 or more, found 1."


def _averaging(part: Part, part_index: PartIndex) -> Iterator[tuple[str, str]]:
    if part.options.get("use_ema"):
        if keras_parts.class_name("optimizer", part.name) == "ScheduleFreeAdamW":
            yield "use_ema", "ScheduleFreeAdamW averages weights itself; remove this option."
        if part.options.get("gradient_accumulation_steps"):
            text = "Keras averages weights after every step, not after every update"
            yield "gradient_accumulation_steps", f"conflicts with use_ema: {text}; remove one."
        return
    signature = part_index.signature("optimizer", part.name)
    for name in _AVERAGING:
        parameter = signature.get(name) if signature else None
        # A file that fitx wrote holds all defaults.
        if parameter is not None and part.options.get(name, parameter.default) != parameter.default:
            yield name, "has no effect without `use_ema: true`; add it, or remove this option."
