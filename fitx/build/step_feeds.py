"""Makes the data sets that `fit` and `evaluate` read: batches or blocks, as the mode requires."""

from __future__ import annotations

import tensorflow as tf

from fitx.build.built import BuiltExperiment
from fitx.data.batch_layout import BatchLayout, evaluation_layout, training_layout
from fitx.data.feed import evaluation_batches, training_batches
from fitx.data.row_blocks import evaluation_blocks, training_blocks


def batch_layout(
    built: BuiltExperiment, kind: str, split: str, steps: int | None = None
) -> BatchLayout:
    """Return the batches of one pass, which are the same for the trace and in every mode.

    Args:
        built: The experiment.
        kind: The method of the step: "train" or "test".
        split: Name of the split; training runs on train.
        steps: Batches of one evaluation; None for `built.evaluation_steps`.
    """
    if kind == "train":
        return training_layout(built.data)
    steps = steps or built.evaluation_steps(split)
    return evaluation_layout(built.data, split, steps)


def training_feed(built: BuiltExperiment, steps_done: int = 0) -> tf.data.Dataset:
    """Return the data that `fit` trains on, epoch after epoch without end.

    Args:
        built: The experiment.
        steps_done: Batches to leave out, because an earlier process trained on them.
    """
    in_blocks = built.step.execution.plan.modes["train"].takes_blocks
    feed = training_blocks if in_blocks else training_batches
    epoch, step = divmod(steps_done, built.data.steps("train"))
    return feed(built.data, first_epoch=epoch, first_step=step)


def evaluation_feed(
    built: BuiltExperiment, split: str, steps: int | None = None
) -> tf.data.Dataset:
    """Return the data that `evaluate` takes, over and over.

    Args:
        built: The experiment.
        split: Name of the split.
        steps: Batches of one evaluation; None for `built.evaluation_steps`.
    """
    in_blocks = built.step.execution.plan.modes["test"].takes_blocks
    feed = evaluation_blocks if in_blocks else evaluation_batches
    steps = steps or built.evaluation_steps(split)
    return feed(built.data, split, steps)
