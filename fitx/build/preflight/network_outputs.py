"""Matches the outputs of a network with their labels, losses and metrics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from fitx.build.built import BuiltExperiment
from fitx.build.output_layer import loss_of
from fitx.build.preflight.last_layer import last_activation
from fitx.data import structure
from fitx.experiment.yaml.tree import KeyPath
from fitx.registry.kinds import Part

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class NetworkOutput:
    """One output of a network, and what it is compared with.

    Args:
        labels_name: The name of its labels in messages, such as `y` or `y['age']`.
        shape: Its shape, without the axis of the batch.
        activation: Keras' name of its last activation; None if it is not known.
        labels: Its labels in each split that has any.
        losses: Its loss by key; empty without one.
        metrics: Its metrics by key.
    """

    labels_name: str
    shape: Shape
    activation: str | None
    labels: dict[str, np.ndarray]
    losses: dict[KeyPath, Part]
    metrics: dict[KeyPath, Part]

    @property
    def y(self) -> np.ndarray:
        """Its labels in training; those of other splits have the same shape."""
        return self.labels["train"]

    @property
    def width(self) -> int | None:
        """Its last dimension, 1 for single numbers."""
        return self.shape[-1] if self.shape else 1

    @property
    def parts(self) -> dict[KeyPath, Part]:
        """Its loss and metrics by key."""
        return {**self.losses, **self.metrics}


def network_outputs(built: BuiltExperiment) -> Iterator[NetworkOutput]:
    """Yield each output of a shipped step's only network whose labels are known.

    A plugin's step may make of x and y what it likes, so only fitx' own are judged.
    """
    experiment, networks = built.experiment, list(built.step.execution.contents.networks.values())
    is_shipped = experiment.part_index.is_shipped("step", experiment.step.name)
    splits = {name: split.y for name, split in built.data.splits.items() if split.y is not None}
    if not is_shipped or len(networks) != 1 or built.data.others is not None or not splits:
        return
    network = networks[0]
    loss = loss_of(experiment)
    metrics = {key: getattr(experiment, key) for key in ("metrics", "weighted_metrics")}
    if not structure.is_nested(splits["train"]):
        shape = plain_shape(getattr(network, "output_shape", None))
        if shape is not None:
            losses: dict[KeyPath, Part] = {("loss",): loss} if isinstance(loss, Part) else {}
            known = {k: v for key, parts in metrics.items() for k, v in _listed((key,), parts)}
            yield NetworkOutput("y", shape, last_activation(network), splits, losses, known)
        return
    for index, (keys, output) in enumerate(_outputs(network)):
        place = _place(splits["train"], keys)
        shape = plain_shape(getattr(output, "shape", None))
        if place is None or shape is None or structure.is_nested(splits["train"][place]):
            continue
        yield NetworkOutput(
            f"y[{place!r}]",
            shape,
            last_activation(network, index),
            {name: y[place] for name, y in splits.items()},
            dict(_losses(loss, keys)),
            {k: v for key, parts in metrics.items() for k, v in _metrics((key,), parts, keys)},
        )


def plain_shape(shape: Any) -> Shape | None:
    """Return the shape of one input or output without the batch; None if it is not such a shape."""
    is_plain = isinstance(shape, tuple) and all(s is None or isinstance(s, int) for s in shape)
    return shape[1:] if is_plain else None


def _outputs(network: keras.Model) -> list[tuple[tuple[Any, ...], Any]]:
    """Return the outputs of a functional network in Keras' order, each with the keys that name it.

    Keras takes the keys of a dictionary of outputs; or the positions in a list, or the names of
    the layers. There are none where the outputs are not known, or nested deeper.
    """
    names = getattr(network, "output_names", None)
    try:
        returned = network.compute_output_spec(network.inputs)
    except Exception:
        # A subclassed network may need to be called.
        return []
    if isinstance(returned, dict):
        return [((key,), returned[key]) for key in sorted(returned)]
    if not isinstance(returned, list | tuple) or names is None or len(names) != len(returned):
        return []
    return [
        ((i, name), output) for i, (name, output) in enumerate(zip(names, returned, strict=True))
    ]


def _place(y: Any, keys: tuple[Any, ...]) -> Any:
    """Return the key or the position of an output in the labels; None if it has none."""
    if isinstance(y, dict):
        return next((key for key in keys if key in y), None)
    return next((key for key in keys if isinstance(key, int) and key < len(y)), None)


def _losses(loss: Any, keys: tuple[Any, ...]) -> Iterator[tuple[KeyPath, Part]]:
    if isinstance(loss, Part):
        yield ("loss",), loss
    elif isinstance(loss, dict | list):
        place = _place(loss, keys)
        if place is not None and loss[place] is not None:
            yield ("loss", place), loss[place]


def _metrics(path: KeyPath, parts: Any, keys: tuple[Any, ...]) -> Iterator[tuple[KeyPath, Part]]:
    place = _place(parts, keys)
    if place is not None:
        yield from _listed((*path, place), parts[place])


def _listed(path: KeyPath, parts: Any) -> Iterator[tuple[KeyPath, Part]]:
    """Yield the metrics of one output by key: of a list, or one alone."""
    if isinstance(parts, Part):
        yield path, parts
    elif isinstance(parts, list):
        yield from (((*path, i), part) for i, part in enumerate(parts) if isinstance(part, Part))
