"""Data sets for `fit` and `evaluate`, batch by batch or in blocks, as the mode takes them."""

from __future__ import annotations

import tensorflow as tf

from fitx.build.built import BuiltExperiment
from fitx.data.feed import evaluation_batches, training_batches
from fitx.data.row_blocks import evaluation_blocks, training_blocks


def training_feed(built: BuiltExperiment, done: int = 0) -> tf.data.Dataset:
    """Return what `fit` is given to train on, epoch after epoch without end.

    Args:
        built: What is trained.
        done: Batches that were trained on before, and are left out.
    """
    in_blocks = built.step.execution.plan.modes["train"].takes_blocks
    feed = training_blocks if in_blocks else training_batches
    epoch, step = divmod(done, built.data.steps("train"))
    return feed(built.data, first_epoch=epoch, first_step=step)


def evaluation_feed(
    built: BuiltExperiment, split: str, steps: int | None = None
) -> tf.data.Dataset:
    """Return what a split is measured on, over and over.

    Args:
        built: What is measured, and on which data.
        split: Name of the split.
        steps: Batches of one pass; None for `built.evaluation_steps`.
    """
    in_blocks = built.step.execution.plan.modes["test"].takes_blocks
    feed = evaluation_blocks if in_blocks else evaluation_batches
    steps = steps or built.evaluation_steps(split)
    return feed(built.data.splits[split], built.data.batch_size, steps)
