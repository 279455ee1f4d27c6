"""Checks of the variables of a step: gradients, frozen networks, metrics, evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from fitx.checkpoint.state_names import NETWORKS, OPTIMIZERS
from fitx.commands.test_step.finding import FAILED, NOT_CHECKED, OK, Verdict
from fitx.commands.test_step.probed_step import ProbedStep, not_finite
from fitx.training.state.variables import State, capture

MOST_GRADIENT_STEPS = 12
"""Steps until every variable has to have had a gradient that is not zero.

Some updates come every few steps only, as those of a generator after five of its critic.
"""

MOST_NAMES = 6
"""The most variables that one finding names."""

_STATE_PREFIXES = (NETWORKS, OPTIMIZERS, "step/")
"""Prefixes of the variables that an evaluation must not change."""


def check_gradients(probed: ProbedStep) -> Verdict:
    """Check that every variable that an optimizer trains gets a gradient."""
    trained = {id(v): _name(probed, v) for part in probed.optimized.values() for v in part}
    if not trained:
        return FAILED, "no optimizer trains a variable: nothing is trained."
    largest: dict[int, float] = {}
    probed.set_back()
    optimizers = probed.step.execution.contents.optimizers.values()
    with _gradients_recorded(optimizers, largest):
        for _, batch in zip(range(MOST_GRADIENT_STEPS), probed.batches(), strict=False):
            probed.step.execution.step_graphs["train"].run_eagerly(batch)
            if all(largest.get(key) for key in trained):
                break
    missing = [name for key, name in trained.items() if key not in largest]
    zero = [name for key, name in trained.items() if largest.get(key) == 0.0]
    nan = [name for key, name in trained.items() if not np.isfinite(largest.get(key, 0.0))]
    lines = [
        f"{text}: {shortened(names)}.{remedy}"
        for text, names, remedy in (
            ("no gradient reaches", missing, " " + _NO_GRADIENT),
            (f"the gradient is zero in each of {MOST_GRADIENT_STEPS} steps for", zero, ""),
            ("the gradient is not finite for", nan, ""),
        )
        if names
    ]
    if lines:
        return FAILED, "\n".join(lines)
    return OK, f"reach all {len(trained):,} trained variables{_left_out(probed, trained)}"


_NO_GRADIENT = (
    "Compute the loss inside the GradientTape from all networks that it trains, by operations of "
    "TensorFlow or keras.ops, and without tf.stop_gradient or rounding on the way."
)


def _left_out(probed: ProbedStep, trained: Mapping[int, str]) -> str:
    others = [v for v in probed.step.trainable_variables if id(v) not in trained]
    names = [_name(probed, variable) for variable in others]
    return f"; no optimizer trains {shortened(names)}" if names else ""


@contextmanager
def _gradients_recorded(optimizers: Iterable[Any], largest: dict[int, float]) -> Iterator[None]:
    """Record the largest absolute gradient of each variable, by its `id`, in eager steps."""
    with ExitStack() as stack:
        for optimizer in optimizers:
            apply = optimizer.apply

            def record(grads: Any, trainable_variables: Any = None, apply: Any = apply) -> Any:
                for gradient, variable in zip(grads, trainable_variables or (), strict=False):
                    if gradient is not None:
                        size = float(tf.reduce_max(tf.abs(tf.convert_to_tensor(gradient))))
                        key = id(variable)
                        largest[key] = max(largest.get(key, 0.0), size) if size == size else size
                return apply(grads, trainable_variables)

            optimizer.apply = record
            stack.callback(setattr, optimizer, "apply", apply)
        yield


def check_frozen(probed: ProbedStep) -> Verdict:
    """Check that training changes nothing of the networks that no optimizer trains.

    A copy of a network, and a network that the step makes itself, may follow another one.
    """
    experiment, networks = probed.built.experiment, probed.step.execution.contents.networks
    trained = {id(variable) for part in probed.optimized.values() for variable in part}
    frozen = [
        name
        for name, network in networks.items()
        if network.variables and not any(id(v) in trained for v in network.variables)
    ]
    judged = [n for n in frozen if n in experiment.networks and n not in experiment.copies]
    following = [name for name in frozen if name not in judged]
    text = f"; not judged, as a step may move it: {', '.join(following)}" if following else ""
    if not judged:
        return NOT_CHECKED, f"the experiment has no frozen network{text}"
    probed.set_back()
    for _, batch in zip(range(MOST_GRADIENT_STEPS), probed.batches(), strict=False):
        probed.values_of(batch)
    changed = changes(probed, tuple(f"{NETWORKS}{name}/" for name in judged))
    if changed:
        return FAILED, (
            f"training changes {shortened(changed)}, which no optimizer trains. Call a frozen "
            "network with training=False and assign nothing to it; a network that follows another "
            "one is written `{copy_of: NAME}`."
        )
    return OK, f"training changes nothing of {', '.join(judged)}{text}"


def changes(probed: ProbedStep, prefixes: tuple[str, ...]) -> list[str]:
    """Return the names of the floating-point variables that differ from the state at the start.

    Integers are left out: they are counters, and the positions of random generators.
    """
    chosen = {
        name: variable
        for name, variable in probed.variables.items()
        if name.startswith(prefixes) and probed.start[name].dtype.kind not in "iu"
    }
    now = capture(chosen)
    return [n for n, array in now.items() if array.tobytes() != probed.start[n].tobytes()]


def check_metrics(probed: ProbedStep) -> Verdict:
    """Check that the metrics are as at the start again when an epoch begins."""
    probed.set_back()
    names = {id(v): m.name for m in probed.step.metrics for v in m.variables}
    values = probed.values_of(next(probed.batches()))
    reset = {k: v for k, v in probed.variables.items() if k.startswith(("metrics/", "means/"))}
    probed.step.reset_metrics()
    kept = _differing(capture(reset), probed.start)
    if kept:
        metrics = dict.fromkeys(names.get(id(reset[name]), name) for name in kept)
        return FAILED, (
            f"the metric {', '.join(metrics)} keeps its state when an epoch begins: an epoch would "
            "log values of earlier ones. Let its reset_state set every variable, and let an own "
            "reset_metrics call super().reset_metrics()."
        )
    return OK, f"{', '.join(values)}: begin anew with each epoch"


def _differing(state: State, start: State) -> list[str]:
    return [name for name, array in state.items() if array.tobytes() != start[name].tobytes()]


def check_evaluation(probed: ProbedStep) -> Verdict:
    """Check that an evaluation changes no variable except metrics."""
    if probed.evaluated_split is None:
        return NOT_CHECKED, "the step has neither a test_step nor a loss, so it is not evaluated"
    probed.set_back()
    (graph, *_) = probed.step.execution.step_graphs["test"].graphs
    graph(probed.evaluation_batch())
    changed = changes(probed, _STATE_PREFIXES)
    if changed:
        return FAILED, (
            f"an evaluation changes {shortened(changed)}. Call networks with training=False in "
            "test_step, and assign to metrics only."
        )
    values = probed.step.execution.logs["test"].result()
    wrong = not_finite(values)
    return (FAILED, f"{wrong} in an evaluation") if wrong else (OK, "changes no weight")


def shortened(names: list[str]) -> str:
    """Return names as text, the first ones only if there are many."""
    plain = [name.removeprefix(NETWORKS) for name in names]
    more = f" and {len(plain) - MOST_NAMES} more" if len(plain) > MOST_NAMES else ""
    return ", ".join(plain[:MOST_NAMES]) + more


def _name(probed: ProbedStep, variable: Any) -> str:
    names = (name for name, other in probed.variables.items() if other is variable)
    return next(names, getattr(variable, "path", "a variable"))
