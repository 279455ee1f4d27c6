"""Everything that changes while a run goes on, as one snapshot: taken, kept, put back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import keras
import numpy as np

from fitx.engine.replicas import replica_variables
from fitx.errors import Diverged, StorageError
from fitx.step import Step
from fitx.training.state import callback_state, host_random
from fitx.training.state.best_epoch import Best, BestEpoch
from fitx.training.state.finite import ADVICE, first_not_finite, held, is_finite, when
from fitx.training.state.variables import (
    NETWORKS,
    OPTIMIZERS,
    State,
    assign,
    capture,
    changed_by_test,
    model_variables,
    variables,
)

BEST, FINAL, CALLBACKS, RANDOM = "best/", "final/", "callbacks/", "random/"
"""How the names begin of arrays that are no variables of the training: what was measured at the
best epoch; what a run ended with where that is other than training left it, averaged or put back to
an earlier epoch by a callback; what callbacks remember; Python's and NumPy's random generators."""


@dataclass(frozen=True)
class Snapshot:
    """A run at one instant.

    Attributes:
        state: Arrays by name.
        meta: All else, as JSON has it.
        demanded: Names of the arrays that must be finite, or there is nothing to go on with.
    """

    state: State
    meta: dict[str, Any]
    demanded: frozenset[str] = frozenset()

    def over(self, other: Snapshot) -> Snapshot:
        """Return the other snapshot with what this one holds in the place of what it has."""
        state, meta = {**other.state, **self.state}, {**other.meta, **self.meta}
        return Snapshot(state, meta, self.demanded | other.demanded)

    def refuse_non_finite(self) -> None:
        """Raise Diverged if there is nothing to go on with; takes milliseconds per 100 MB."""
        found = first_not_finite({name: self.state[name] for name in sorted(self.demanded)})
        if found is not None:
            epoch = self.meta["epoch"] + (self.meta["phase"] != "between")
            text = f"'{found}' holds {held(self.state[found])}"
            raise Diverged(text, when(self.meta["step"], epoch), ADVICE)


class RunState:
    """All that a resumed run must find as it was.

    Args:
        step: Its variables, those that its graphs hold besides, and those of metrics.
        callbacks: What they remember.
        best: The best epoch so far.
        options: Those of each callback as JSON, by which it is known again; none without.

    Attributes:
        variables: All that training may change, by name.
        model: Those of them that an evaluation depends on.
        built_rates: The learning rates that the experiment asks for, by the variable's name.
    """

    def __init__(
        self,
        step: Step,
        callbacks: Iterable[keras.callbacks.Callback],
        best: Best,
        options: Iterable[str] = (),
    ) -> None:
        self.variables, self.model = variables(step), model_variables(step)
        self.callbacks = callback_state.named(callbacks)
        self.options = dict(zip_longest(self.callbacks, options, fillvalue="{}"))
        self.best = best
        self.built_rates = learning_rates(self.variables)
        self._changed_by_test = changed_by_test(step, self.variables)
        self._demanded = frozenset(_finite_from_the_start(self.variables))

    def take(self) -> Snapshot:
        """Copy everything; waits for the device."""
        best = self.best.epoch
        mine = Snapshot(capture(self.variables), {}, self._demanded)
        if best is not None:
            mine = Snapshot(prefixed(BEST, best.weights), {"best": best.to_json()}).over(mine)
        return self._besides().over(mine)

    def capture_before_validation(self) -> Snapshot:
        """Copy what a validation may change: a run can then be resumed at its beginning."""
        return self._besides().over(Snapshot(capture(self._changed_by_test), {}))

    def put_back(self, snapshot: Snapshot) -> None:
        """Let everything be as it was.

        Raises:
            StorageError: The snapshot is not one of these networks, optimizers and metrics.
        """
        state, meta = snapshot.state, snapshot.meta
        assign(self.variables, training_part(state))
        host_random.put_back(part(state, RANDOM))
        arrays = part(state, CALLBACKS)
        for name, saved in self._matched(meta).items():
            self._put_back(name, meta, saved, arrays)
        self.best.epoch = best_epoch(snapshot, self.best)

    def _put_back(self, name: str, meta: Mapping[str, Any], saved: str, arrays: State) -> None:
        packed = meta["callbacks"][saved]
        try:
            callback_state.put_back(self.callbacks[name], packed, arrays, meta.get("epoch"))
        except StorageError as error:
            raise StorageError(f"meta.json: meta.callbacks.{saved}: {error}") from error

    def reset_callbacks(self, snapshot: Snapshot) -> list[str]:
        """Return the names of callbacks that remember things, and not from this snapshot."""
        known = self._matched(snapshot.meta)
        return [
            name
            for name, callback in self.callbacks.items()
            if name not in known and callback_state.remembers(callback)
        ]

    def _matched(self, meta: Mapping[str, Any]) -> dict[str, str]:
        options = meta.get("callback_options", {})
        saved = {name: options.get(name, "{}") for name in meta["callbacks"]}
        return callback_state.matched(saved, self.options)

    def _besides(self) -> Snapshot:
        """Copy what is no variable."""
        arrays: State = {}
        remembered = {
            name: callback_state.take(name, callback, arrays)
            for name, callback in self.callbacks.items()
        }
        state = {**prefixed(CALLBACKS, arrays), **prefixed(RANDOM, host_random.take())}
        asked = {"callback_options": self.options, "built_rates": self.built_rates}
        return Snapshot(state, {"callbacks": remembered, **asked})


def _finite_from_the_start(named: Mapping[str, Any]) -> Iterator[str]:
    """Yield the variables of networks and optimizers, but no constants such as an infinite mask."""
    for name, variable in named.items():
        if name.startswith(OPTIMIZERS):
            yield name
        elif not name.startswith(NETWORKS):
            continue
        elif variable.trainable or is_finite(replica_variables.to_array(variable)):
            yield name


def learning_rates(named: Mapping[str, Any]) -> dict[str, float]:
    """Return the learning rates among variables, by name."""
    return {
        name: float(replica_variables.to_array(v)) for name, v in named.items() if is_rate(name)
    }


def is_rate(name: str) -> bool:
    """Whether a variable of this name is an optimizer's learning rate."""
    return name.startswith(OPTIMIZERS) and name.endswith("/learning_rate")


def best_epoch(snapshot: Snapshot, wanted: Best) -> BestEpoch | None:
    """Return the best epoch that a snapshot holds, if it was chosen by the same value and mode."""
    found = snapshot.meta.get("best")
    if found is None or (found["monitor"], found["mode"]) != (wanted.monitor, wanted.mode):
        return None
    return BestEpoch(**found, weights=part(snapshot.state, BEST))


def training_part(state: State) -> State:
    """Return the variables of the training alone."""
    others = (BEST, FINAL, CALLBACKS, RANDOM)
    return {name: array for name, array in state.items() if not name.startswith(others)}


def part(state: Mapping[str, np.ndarray], prefix: str) -> State:
    """Return what a checkpoint's state holds under a prefix; empty if it has no such part."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def prefixed(prefix: str, state: Mapping[str, np.ndarray]) -> State:
    """Return arrays under names that begin with a prefix."""
    return {f"{prefix}{name}": array for name, array in state.items()}
