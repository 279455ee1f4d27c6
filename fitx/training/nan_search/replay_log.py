"""What is kept of a training so that its steps can be run again if it diverges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fitx.training.state.run_state import is_rate
from fitx.training.state.snapshot import Snapshot
from fitx.training.state.variables import State, capture


class Trail:
    """Notes where a training began, and what its callbacks do to the learning rates.

    Args:
        variables: All that changes, by name.
        has_callbacks: Whether there are callbacks, which alone change learning rates.

    Attributes:
        start: The run at its beginning, until there is a checkpoint; None then.
        rates: The learning rates that an epoch began with, where they had changed, by the number
            of steps before it.
        finite_until: The last step after which every value logged so far was finite.
    """

    def __init__(self, variables: Mapping[str, Any], *, has_callbacks: bool) -> None:
        self.start: Snapshot | None = None
        self.rates: dict[int, State] = {}
        self.finite_until = 0
        self._variables = {name: v for name, v in variables.items() if is_rate(name)}
        self._newest: State | None = None
        self._has_callbacks = has_callbacks

    def epoch_begins(self, done: int, *, has_checkpoint: bool) -> None:
        """Note how an epoch begins, or goes on, after so many steps."""
        if has_checkpoint:
            self.start = None
        if self._newest is not None and not self._has_callbacks:
            return
        rates = capture(self._variables)
        if self._newest is None or any(rates[name] != rate for name, rate in self._newest.items()):
            self.rates[done] = self._newest = rates
