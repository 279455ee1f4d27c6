"""Captures and restores everything that changes during a run."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any

import keras
import numpy as np

from fitx.checkpoint.state_names import BEST, NETWORKS, OPTIMIZERS, part, prefixed
from fitx.engine.replicas import replica_variables
from fitx.errors import StorageError
from fitx.step import Step
from fitx.training.state import callback_state
from fitx.training.state.best_epoch import BestEpochTracker
from fitx.training.state.finite import is_finite
from fitx.training.state.snapshot import CALLBACKS, RANDOM, Snapshot, best_epoch, training_part
from fitx.training.state.variables import (
    State,
    assign,
    capture,
    changed_by_test,
    model_variables,
    variables,
)

MERSENNE_TWISTER_WORDS = 624
"""The size of a Mersenne Twister's state."""


class RunState:
    """The state that a resumed run needs to continue exactly.

    Args:
        step: The step with its variables, those of its graphs and those of its metrics.
        callbacks: The callbacks of the experiment.
        best: The best epoch so far.
        options: The options of each callback as JSON, which identify it; empty for none.

    Attributes:
        variables: All variables that training may change, by name.
        model: Those of them that an evaluation depends on.
        callbacks: The callbacks by name.
        built_rates: The learning rates of the experiment, by the name of the variable.
    """

    def __init__(
        self,
        step: Step,
        callbacks: Iterable[keras.callbacks.Callback],
        best: BestEpochTracker,
        options: Iterable[str] = (),
    ) -> None:
        self.variables, self.model = variables(step), model_variables(step)
        self.callbacks = callback_state.by_name(callbacks)
        self.options = dict(zip_longest(self.callbacks, options, fillvalue="{}"))
        self.best = best
        self.built_rates = learning_rates(self.variables)
        self._changed_by_test = changed_by_test(step, self.variables)
        self._finite_names = frozenset(_finite_names(self.variables))

    def capture(self) -> Snapshot:
        """Copy everything; waits for the device."""
        best = self.best.epoch
        snapshot = Snapshot(capture(self.variables), {}, self._finite_names)
        if best is not None:
            best_snapshot = Snapshot(prefixed(BEST, best.weights), {"best": best.to_json()})
            snapshot = best_snapshot.over(snapshot)
        return self._capture_host().over(snapshot)

    def capture_before_validation(self) -> Snapshot:
        """Copy what a validation may change, so that a run can be resumed at its beginning."""
        return self._capture_host().over(Snapshot(capture(self._changed_by_test), {}))

    def restore(self, snapshot: Snapshot) -> None:
        """Set everything to a snapshot.

        Raises:
            StorageError: The snapshot is of other networks, optimizers or metrics.
        """
        state, meta = snapshot.state, snapshot.meta
        assign(self.variables, training_part(state))
        restore_host_random(part(state, RANDOM))
        arrays = part(state, CALLBACKS)
        for name, saved_name in self._matched(meta).items():
            self._restore_callback(name, saved_name, meta, arrays)
        self.best.epoch = best_epoch(snapshot, self.best)

    def _restore_callback(
        self, name: str, saved_name: str, meta: Mapping[str, Any], arrays: State
    ) -> None:
        packed, epoch = meta["callbacks"][saved_name], meta.get("epoch")
        try:
            callback_state.restore_callback(self.callbacks[name], packed, arrays, epoch)
        except StorageError as error:
            raise StorageError(f"meta.json: meta.callbacks.{saved_name}: {error}") from error

    def reset_callbacks(self, snapshot: Snapshot) -> list[str]:
        """Return the names of the callbacks with a state that this snapshot does not hold."""
        matched = self._matched(snapshot.meta)
        return [
            name
            for name, callback in self.callbacks.items()
            if name not in matched and callback_state.has_state(callback)
        ]

    def _matched(self, meta: Mapping[str, Any]) -> dict[str, str]:
        options = meta.get("callback_options", {})
        saved = {name: options.get(name, "{}") for name in meta["callbacks"]}
        return callback_state.matched(saved, self.options)

    def _capture_host(self) -> Snapshot:
        """Copy what is not a variable: callbacks and the random generators of the host."""
        arrays: State = {}
        packed = {
            name: callback_state.capture_callback(name, callback, arrays)
            for name, callback in self.callbacks.items()
        }
        state = {**prefixed(CALLBACKS, arrays), **prefixed(RANDOM, capture_host_random())}
        meta = {"callback_options": self.options, "built_rates": self.built_rates}
        return Snapshot(state, {"callbacks": packed, **meta})


def _finite_names(variable_by_name: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the variables of networks and optimizers that must stay finite.

    A constant that is not finite from the start, such as a mask of infinities, is left out.
    """
    for name, variable in variable_by_name.items():
        if name.startswith(OPTIMIZERS):
            yield name
        elif not name.startswith(NETWORKS):
            continue
        elif variable.trainable or is_finite(replica_variables.to_array(variable)):
            yield name


def learning_rates(variable_by_name: Mapping[str, Any]) -> dict[str, float]:
    """Return the learning rates among the variables, by name."""
    return {
        name: float(replica_variables.to_array(v))
        for name, v in variable_by_name.items()
        if is_rate(name)
    }


def is_rate(name: str) -> bool:
    """Return whether a variable of this name is the learning rate of an optimizer."""
    return name.startswith(OPTIMIZERS) and name.endswith("/learning_rate")


def capture_host_random() -> State:
    """Return the states of Python's and NumPy's global random generators."""
    _, words, gauss = random.getstate()
    _, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": np.array(words, dtype=np.uint32),
        "python_gauss": np.array([] if gauss is None else [gauss]),
        "numpy": np.array(keys, dtype=np.uint32),
        "numpy_position": np.array([position, has_gauss], dtype=np.int64),
        "numpy_gauss": np.array([cached]),
    }


def restore_host_random(state: State) -> None:
    """Set both generators to a captured state.

    Raises:
        StorageError: The arrays are no state of these generators.
    """
    try:
        # NumPy does not check the position, and would read beyond its own memory.
        if not 0 <= int(state["numpy_position"][0]) <= MERSENNE_TWISTER_WORDS:
            raise ValueError("a position beyond the words")
        _set_host_random(state)
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise StorageError(f"state.npz holds no state of random numbers: {error}") from error


def _set_host_random(state: State) -> None:
    gauss = state["python_gauss"].tolist()
    random.setstate((3, tuple(state["python"].tolist()), gauss[0] if gauss else None))
    position, has_gauss = state["numpy_position"].tolist()
    cached = state["numpy_gauss"].tolist()[0]
    np.random.set_state(("MT19937", state["numpy"], position, has_gauss, cached))
