"""Checks of the execution of a step: modes, short batches, mixed precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import keras
import tensorflow as tf

from fitx.build.excluded_modes import excluded_modes
from fitx.build.step_feeds import batch_layout
from fitx.commands.test_step.finding import FAILED, NOT_CHECKED, OK, Verdict, error_text
from fitx.commands.test_step.probed_step import (
    ModeOutcome,
    ProbedStep,
    losses,
    not_finite,
    rows_of,
    value_difference,
    with_rows_of,
)
from fitx.commands.test_step.training_checks import shortened
from fitx.engine.modes.execution_modes import MODES
from fitx.engine.step_graph import with_rows
from fitx.errors import UserCodeError
from fitx.experiment.problems import ConfigError

ROUNDING = 1e-3
"""The relative tolerance between ways to run a step that round differently."""

BFLOAT16 = 0.1
"""The relative tolerance of a loss in bfloat16, whose numbers have eight bits."""

SMALL = 1e-2
"""The absolute tolerance of a loss in bfloat16."""

PYTHON_STATE = (
    "A traced step runs its Python once: keep numbers that change in a tf.Variable, draw random "
    "numbers by keras.random, and branch on tensors by tf.cond or keras.ops.where."
)


def check_modes(probed: ProbedStep) -> Verdict:
    """Check that a few steps give the same values in every mode and as plain Python."""
    plain = probed.run("plain")
    wrong = not_finite(plain.values)
    if wrong:
        return FAILED, f"{wrong} after {probed.steps} steps"
    same, notes = [], list[str]()
    reasons = excluded_modes(probed.built, probed.device.kind)
    names = ["eager", *(name for name in MODES if name != "plain")]
    for name in names:
        if name in reasons:
            notes.append(f"{name}: {reasons[name]}")
            continue
        outcome = probed.run("plain", eager=True) if name == "eager" else probed.run(name)
        difference = _mode_difference(name, plain, outcome)
        if not difference:
            same.append(name)
        elif probed.is_random and name in MODES and MODES[name].xla and not _diverged(outcome):
            notes.append(f"{name}: not compared, because XLA draws other random numbers")
        else:
            remedy = f" {PYTHON_STATE}" if name == "eager" else ""
            place = "run as Python (execution.eager)" if name == "eager" else f"in mode {name}"
            return FAILED, f"{place}, after {probed.steps} steps, {difference}.{remedy}"
    return OK, "; ".join([f"the same values in plain, {', '.join(same)}", *notes])


def _diverged(outcome: ModeOutcome) -> bool:
    return bool(not_finite(outcome.values))


def _mode_difference(name: str, plain: ModeOutcome, outcome: ModeOutcome) -> str:
    if name != "fused":
        return value_difference(plain.values, outcome.values, ROUNDING, ROUNDING / 10)
    different = [n for n, a in outcome.state.items() if a.tobytes() != plain.state[n].tobytes()]
    values = value_difference(plain.values, outcome.values)
    return values or (f"{shortened(different)} differs" if different else "")


def check_rows(probed: ProbedStep, refusal: str) -> Verdict:
    """Check that one trace takes batches of any size, and that rows count alike in each.

    Args:
        probed: The step.
        refusal: The error with which the trace for any size ended; empty if it did not.
    """
    if refusal:
        return FAILED, f"{refusal}\n{_ANY_ROWS}"
    if probed.built.data.drop_remainder:
        return NOT_CHECKED, "data.drop_remainder leaves out short batches"
    batch = next(probed.batches())
    rows = rows_of(batch)
    if rows < 2:
        return NOT_CHECKED, "batches have one row"
    try:
        parts = _loss_of_parts(probed, batch, rows)
    except Exception as error:
        return FAILED, f"{error_text(error)}\n{_ANY_ROWS}"
    wrong = not_finite({name: [*values] for name, values in parts.items()})
    if wrong:
        return FAILED, f"{wrong} for a batch of {rows // 2:,} rows"
    for name, (whole, first, second) in parts.items():
        if abs(whole) > SMALL and abs(first + second - whole) < ROUNDING * abs(whole):
            return FAILED, (
                f"{name} of a batch is {whole:.4g}, and {first:.4g} and {second:.4g} of its "
                "halves: it is no mean over the rows, so a short batch counts too little. "
                f"{_ANY_ROWS}"
            )
    probed.is_row_mean = all(
        abs((first + second) / 2 - whole) <= ROUNDING * abs(whole) + ROUNDING / 10
        for whole, first, second in parts.values()
    )
    return OK, f"one trace takes {rows:,} rows and {rows // 2:,}"


_ANY_ROWS = "Use the rows of the batch, tf.shape(x)[0], in place of a number of Python."


def _loss_of_parts(
    probed: ProbedStep, batch: object, rows: int
) -> dict[str, tuple[float, float, float]]:
    """Return each loss of a batch and of its two halves, with the weights at the start."""
    step_graph, half = probed.step.execution.step_graphs["train"], rows // 2
    spec = batch_layout(probed.built, "train", "train").spec
    any_rows = tf.nest.map_structure(partial(with_rows, rows=None), spec)
    graph = step_graph.graph(any_rows)
    values = []
    for start, stop in ((0, 2 * half), (0, half), (half, 2 * half)):
        probed.set_back()
        values.append(probed.values_of(with_rows_of(batch, start, stop), graph))
    return {name: (values[0][name], values[1][name], values[2][name]) for name in losses(values[0])}


def check_precision(probed: ProbedStep) -> Verdict:
    """Check that the step runs in bfloat16, finite and with about the same loss."""
    experiment = probed.built.experiment
    if experiment.execution.precision != "float32":
        return NOT_CHECKED, f"execution.precision is {experiment.execution.precision}"
    execution = experiment.execution.model_copy(update={"precision": "mixed_bfloat16"})
    batch = next(probed.batches())
    probed.set_back()
    expected = probed.values_of(batch)
    try:
        with _policy("mixed_bfloat16"):
            keras.utils.set_random_seed(experiment.seed)
            mixed = ProbedStep(replace(experiment, execution=execution), probed.device)
            actual = mixed.values_of(batch)
            outcome = mixed.run("plain")
    except (ConfigError, UserCodeError) as error:
        return FAILED, f"in mixed_bfloat16, {error_text(error)}\n{_CAST}"
    wrong = not_finite(actual) or not_finite(outcome.values)
    if wrong:
        return FAILED, f"in mixed_bfloat16, {wrong}"
    names = losses(expected)
    ours, theirs = ({n: values[n] for n in names} for values in (expected, actual))
    difference = value_difference(ours, theirs, BFLOAT16, SMALL)
    if difference and probed.is_random:
        return OK, "mixed_bfloat16 gives finite values; not compared, because they are random"
    if difference:
        return FAILED, (
            f"in mixed_bfloat16, {difference}. Compute sums, logarithms and losses in float32."
        )
    return OK, "mixed_bfloat16 gives finite values, close to those of float32"


_CAST = (
    "Networks return bfloat16 there, and data are float32: cast one to the other, such as by "
    "tf.cast(y_pred, y.dtype). A step that is never to run so is tested with --skip precision."
)


@contextmanager
def _policy(name: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
