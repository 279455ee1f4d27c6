"""What a trial's step is fed: its batches one by one or in blocks, as its mode takes them."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from fitx.build.built import Trial
from fitx.data.feed import evaluation_batches, training_batches
from fitx.data.row_blocks import evaluation_blocks, training_blocks


def training_feed(trial: Trial, done: int = 0) -> tf.data.Dataset:
    """Return what `fit` is given to train on, epoch after epoch without end.

    Args:
        trial: What is trained.
        done: Batches that were trained on before, and are left out.
    """
    in_blocks = trial.step.execution.plan.modes["train"].takes_blocks
    feed = training_blocks if in_blocks else training_batches
    epoch, step = divmod(done, trial.data.steps("train"))
    return feed(trial.data, first_epoch=epoch, first_step=step)


def evaluation_feed(trial: Trial, split: str, steps: int | None = None) -> tf.data.Dataset:
    """Return what a split is measured on, over and over.

    Args:
        trial: What is measured, and on which data.
        split: Name of the split.
        steps: Batches of one pass; None for `trial.evaluation_steps`.
    """
    in_blocks = trial.step.execution.plan.modes["test"].takes_blocks
    feed = evaluation_blocks if in_blocks else evaluation_batches
    steps = steps or trial.evaluation_steps(split)
    return feed(trial.data.splits[split], trial.data.batch_size, steps)


def training_batch(trial: Trial, done: int) -> Any:
    """Return the batch of the training step that follows `done` others."""
    epoch, step = divmod(done, trial.data.steps("train"))
    return next(iter(training_batches(trial.data, first_epoch=epoch, first_step=step)))
