"""Operations of a step that XLA cannot compile, with the user's line or the layer."""

from __future__ import annotations

from typing import Any

from fitx.build.built import BuiltExperiment
from fitx.build.operation_origin import origin
from fitx.engine.modes.xla_support import find_obstacle
from fitx.experiment.problems import ConfigError


def uncompilable(
    built: BuiltExperiment, graph: Any, batch_size: int, device_kind: str
) -> str | None:
    """Return what XLA cannot compile in a traced step and where it comes from, None for nothing.

    Args:
        built: Whose step it is.
        graph: The step as a graph of one batch.
        batch_size: The rows of a batch, where the graph leaves them open.
        device_kind: "cpu" or "gpu".
    """
    found = find_obstacle(graph, batch_size, device_kind)
    if found is None:
        return None
    if found.operation is None:
        return f"the step: {found.reason}"
    return f"{found.operation.type}{origin(built, found.operation)}, {found.reason}"


def refusal(built: BuiltExperiment, what: str) -> ConfigError:
    """Return the error for a mode of XLA that is asked for and cannot be had.

    Args:
        built: Whose step it is.
        what: XLA cannot compile, as `uncompilable` says it.
    """
    text = f"XLA cannot compile {what}; write `mode: auto`."
    return built.experiment.error(("execution", "mode"), text)
