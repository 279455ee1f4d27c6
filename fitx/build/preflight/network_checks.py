"""Checks of networks: a fixed batch size, and optimizers that have nothing to train."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import tensorflow as tf

from fitx.build.built import BuiltExperiment
from fitx.experiment.problems import Problem


def batch_size_problems(built: BuiltExperiment) -> Iterator[Problem]:
    """Yield a problem for each split with batches of a size that the network does not take.

    Only networks that were built for batches of one size are tried, and only of fitx' own steps,
    which feed them whole batches.
    """
    experiment, networks = built.experiment, built.step.execution.contents.networks
    is_shipped = experiment.part_index.is_shipped("step", experiment.step.name)
    if not is_shipped or len(networks) != 1 or built.step.execution.strategy is not None:
        return
    ((name, network),) = networks.items()
    shape = getattr(network, "input_shape", None)
    fixed = shape[0] if isinstance(shape, tuple) and shape else None
    if not isinstance(fixed, int):
        return
    for split, size in _sizes(built):
        if size != fixed and not _takes(network, size):
            text = (
                f"takes batches of {fixed} rows only, and {split} has one of {size}; leave the "
                "batch size out of its Input, or choose data.batch_size and rows that fit"
            )
            drop = " (data.drop_remainder leaves out a short one)" if split == "train" else ""
            yield experiment.problem(("networks", name), f"{text}{drop}.")


def _sizes(built: BuiltExperiment) -> Iterator[tuple[str, int]]:
    """Yield (split, rows) of each size of batches that a split has."""
    data = built.data
    for split, arrays in data.splits.items():
        rows = len(arrays)
        if rows >= data.batch_size:
            yield split, data.batch_size
        rest = rows % data.batch_size
        if rest and not (split == "train" and data.drop_remainder):
            yield split, rest


def _takes(network: keras.Model, rows: int) -> bool:
    spec = tf.TensorSpec((rows, *network.input_shape[1:]), network.inputs[0].dtype)
    try:
        tf.function(network).get_concrete_function(spec)
    except Exception:
        return False
    return True


def optimizer_problems(built: BuiltExperiment) -> Iterator[Problem]:
    """Yield a problem for each optimizer without a variable that is to be trained."""
    for name, variables in built.step.execution.contents.optimized.items():
        if not variables:
            text = "has nothing to train: its network has no variables, or all layers are frozen; "
            text += "set `trainable: true` in one, or remove the optimizer and use `fitx evaluate`."
            yield built.experiment.problem(("optimizers", name), text)
