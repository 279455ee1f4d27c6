"""Runs the steps of a training again, up to the first whose results are not finite."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from fitx.build.built import BuiltExperiment
from fitx.build.step_feeds import evaluation_feed
from fitx.data.feed import training_batches
from fitx.engine.replicas import replica_variables
from fitx.training.state.finite import is_finite
from fitx.training.state.run_state import is_rate
from fitx.training.state.snapshot import Position, Snapshot, position_from_meta, training_part
from fitx.training.state.variables import (
    RESET_EACH_EPOCH,
    State,
    assign,
    capture,
    test_changes_only_metrics,
)

_FLOATS = (tf.float16, tf.bfloat16, tf.float32, tf.float64)

_GIVEN = ("Const", "Placeholder")
"""Operations that compute nothing: constants, the batch, and what the graph captures."""


class ReplayLog:
    """Keeps what a replay needs besides checkpoints.

    Attributes:
        start: The run at its beginning, until there is a checkpoint; None then.
        rates: The learning rates that an epoch began with, where they had changed, by the number
            of steps before it.
    """

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self.start: Snapshot | None = None
        self.rates: dict[int, State] = {}
        self._variables = {name: v for name, v in variables.items() if is_rate(name)}
        self._newest: State | None = None

    def note_epoch_begin(self, steps_done: int, *, has_checkpoint: bool) -> None:
        """Note how an epoch begins, or goes on, after so many steps."""
        if has_checkpoint:
            self.start = None
        rates = capture(self._variables)
        if rates != self._newest:
            self.rates[steps_done] = self._newest = rates


@dataclass(frozen=True)
class BadStep:
    """The first step that left a variable not finite.

    Attributes:
        step: Its number.
        epoch: The number of its epoch.
        names: The variables, those of metrics among them.
        operations: The operations that explain it, in the order in which the step made them.
    """

    step: int
    epoch: int
    names: list[str]
    operations: list[tf.Operation]


class Replay:
    """Runs steps in the plain mode and checks the result of each operation of their graph.

    `tf.debugging.enable_check_numerics` raises at the first result that is not finite, which is
    often harmless: a mask of -inf, the side of a `tf.where` that is not taken, a gradient that
    overflows under a loss scale. Here each step runs to its end and is judged by the variables it
    leaves. A loop or a condition is checked as one operation. Of what callbacks do, only the
    learning rates at the beginning of an epoch are known.

    Args:
        built: What was trained.
        variables: All that training changes, by name.
        log: The learning rates of its epochs.
        start: The state from which the steps run.
        values: The names of the logged values that became NaN or infinite.

    Attributes:
        at: The position after the last step that ran.
    """

    def __init__(
        self,
        built: BuiltExperiment,
        variables: Mapping[str, Any],
        log: ReplayLog,
        start: Snapshot,
        values: Collection[str],
    ) -> None:
        self._built, self._step, self._rates = built, built.step, log.rates
        self._variables, self._state = dict(variables), training_part(start.state)
        self.at = position_from_meta(start.meta)
        self._values, self._may_be_nan = values, bool(built.experiment.fit.allow_nan)
        self._graphs: dict[str, tuple[Any, list[Any]]] = {}

    def until_not_finite(self, end: int, go_on: Callable[[], bool]) -> BadStep | None:
        """Run until a step leaves a variable not finite, at most up to the step of this number.

        Args:
            go_on: Asked before each step.
        """
        assign(self._variables, self._state)
        steps_done = self.at.batches(self._built.steps_per_epoch)
        epoch, step = divmod(steps_done, self._built.data.steps("train"))
        batches = training_batches(self._built.data, first_epoch=epoch, first_step=step)
        before: set[str] | None = None
        for batch in batches:
            self._begin_step()
            if self.at.step == end or not go_on():
                break
            names, operations = self._run(batch, batches.element_spec)
            self.at.step, self.at.epoch_steps = self.at.step + 1, self.at.epoch_steps + 1
            if names:
                # Without an earlier step, only its use shows whether a result does harm.
                unusual = [op for op in operations if before is not None and op.name not in before]
                causes = _spreading(operations) if before is None else unusual
                return BadStep(self.at.step, self.at.epoch + 1, names, causes)
            before = (before or set()) | {op.name for op in operations}
        return None

    def _run(self, batch: Any, spec: Any) -> tuple[list[str], list[tf.Operation]]:
        """Run a step; return the variables and the operations that are not finite."""
        if self._step.execution.strategy is not None:
            # Replicas share the rows of a batch where its size is known.
            spec = tf.nest.map_structure(tf.TensorSpec.from_tensor, batch)
        if str(spec) not in self._graphs:
            self._graphs[str(spec)] = self._traced(spec)
        graph, checked = self._graphs[str(spec)]
        flags = graph(batch).numpy()
        bad = dict.fromkeys(what for what, good in zip(checked, flags, strict=True) if not good)
        return [n for n in bad if isinstance(n, str)], [o for o in bad if not isinstance(o, str)]

    def _traced(self, spec: Any) -> tuple[Any, list[Any]]:
        """Trace the step anew; return its graph, and what each flag that it returns is of."""
        checked: list[Any] = []

        def step(run: Callable[[Any], Any], batch: Any) -> tf.Tensor:
            run(batch)
            results = [*_results(tf.compat.v1.get_default_graph()), *self._to_be_finite()]
            checked.extend(what for what, _ in results)
            return tf.stack([tf.reduce_all(tf.math.is_finite(number)) for _, number in results])

        return self._step.execution.trace_around("train", step, spec), checked

    def _to_be_finite(self) -> Iterator[tuple[str, Any]]:
        """Yield the variables that were finite at the beginning, by name, each with its copies."""
        for name, variable in self._variables.items():
            is_meant = not self._may_be_nan or any(f"/{n}/" in name for n in self._values)
            if (is_meant or not name.startswith(RESET_EACH_EPOCH)) and is_finite(self._state[name]):
                copies = replica_variables.local_copies(variable)
                yield from ((name, copy) for copy in copies if copy.dtype in _FLOATS)

    def _begin_step(self) -> None:
        """End the epoch whose steps are all done; begin the one that a step is to begin."""
        built, step = self._built, self._step
        if self.at.epoch_steps == built.steps_per_epoch:
            self.at = Position(self.at.epoch + 1, self.at.step)
            is_due = self.at.epoch % built.experiment.fit.validation_freq == 0
            if is_due and "validation" in built.data.splits and not test_changes_only_metrics(step):
                steps = built.evaluation_steps("validation")
                step.evaluate(evaluation_feed(built, "validation"), steps=steps, verbose=0)
        if not self.at.epoch_steps:
            step.reset_metrics()
        rates = self._rates.get(self.at.step, {})
        assign({name: self._variables[name] for name in rates}, rates)


def _results(graph: Any) -> Iterator[tuple[tf.Operation, tf.Tensor]]:
    """Yield what the operations of a graph compute."""
    for op in graph.get_operations():
        has_argument_names = len(op.op_def.output_arg) == len(op.outputs)
        for index, output in enumerate(op.outputs):
            # Kernels leave in a "reserve space" what they like.
            is_scratch = has_argument_names and "reserve" in op.op_def.output_arg[index].name
            if output.dtype in _FLOATS and not is_scratch and op.type not in _GIVEN:
                yield op, output


def _spreading(operations: list[tf.Operation]) -> list[tf.Operation]:
    """Return the operations whose result reaches a variable by others that are not finite."""
    kept_operations: dict[str, tf.Operation] = {}
    for op in reversed(operations):
        users = [user for output in op.outputs for user in output.consumers()]
        if any(user.name in kept_operations or user.op_def.is_stateful for user in users):
            kept_operations[op.name] = op
    return list(reversed(kept_operations.values()))
