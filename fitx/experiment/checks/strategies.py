"""Whether the rest of an experiment goes together with several devices sharing its batches."""

from __future__ import annotations

from collections.abc import Iterator

from fitx.experiment.schema import Settings
from fitx.experiment.yaml.tree import KeyPath
from fitx.registry.kinds import Part

Found = Iterator[tuple[KeyPath, str]]

_ALONE = ("gradient_accumulation_steps", "ema_overwrite_frequency")
"""Options of optimizers that Keras can follow on one device only."""


def problems(settings: Settings) -> Found:
    """Find what `execution.strategy` cannot do together with."""
    execution = settings.execution
    name, split = execution.strategy, execution.virtual_devices
    if split is not None and name != "mirrored":
        yield ("execution", "virtual_devices"), "has no effect without `strategy: mirrored`."
    elif split is not None and execution.device.startswith("gpu"):
        text = f"splits a CPU, but execution.device is {execution.device}; remove one."
        yield ("execution", "virtual_devices"), text
    if name == "auto":
        return
    if execution.mode not in ("auto", "plain"):
        text = f"strategy {name} runs one step a call: write plain, or remove the key."
        yield ("execution", "mode"), text
    if ":" in execution.device:
        text = f"strategy {name} computes on all GPUs; write gpu, and let CUDA_VISIBLE_DEVICES"
        yield ("execution", "device"), f"{text} choose among them."
    yield from _optimizers(settings, name)


def _optimizers(settings: Settings, name: str) -> Found:
    given: dict[KeyPath, Part] = {("optimizers", n): p for n, p in settings.optimizers.items()}
    if settings.optimizer is not None:
        given = {("optimizer",): settings.optimizer, **given}
    for path, part in given.items():
        for option in _ALONE:
            if part.options.get(option) is not None:
                text = f"Keras follows it on one device only, not under strategy {name}; remove it."
                yield (*path, option), text
