"""Estimates the speed of training steps and the time that is left."""

import math

MEMORY_SECONDS = 5.0
"""Seconds over which the speed is averaged, with fading weights."""


class Speed:
    """Progress and speed of a run, estimated from the few steps that are shown.

    Measurement starts at the first step: neither compilation nor the earlier steps of a resumed
    run count, and validation does not lower the speed. Rich's estimate has none of the three.

    Args:
        epochs: The number of the last epoch.
        steps: Training steps per epoch; 0 if unknown.
    """

    def __init__(self, epochs: int, steps: int) -> None:
        self.epochs = epochs
        self.steps = steps
        self.epoch = 0
        self.step = 0
        self.steps_per_second: float | None = None
        self._last: tuple[int, float] | None = None
        self._first: tuple[float, float] | None = None
        self._recent_steps = 0.0
        self._recent_seconds = 0.0
        self._now = 0.0

    @property
    def waiting(self) -> bool:
        """Return whether no step has been finished yet."""
        return self._last is None

    def epoch_begin(self, epoch: int, now: float) -> None:
        """Note that an epoch starts at `now` seconds."""
        self._last = (0, now) if self.epoch else None
        self.epoch, self.step = epoch, 0

    def reach(self, step: int, now: float) -> None:
        """Note that a step of this epoch was finished at `now` seconds."""
        if self._last is not None:
            self._average(step - self._last[0], now - self._last[1])
        self._last, self._now, self.step = (step, now), now, step
        if self._first is None:
            self._first = (self.run_fraction, now)

    def complete_steps(self, now: float) -> None:
        """Note that the last training step of this epoch was finished at `now` seconds."""
        self._now, self.step = now, max(self.step, self.steps)

    @property
    def epoch_fraction(self) -> float:
        """Return the finished share of this epoch's training steps, 0 to 1."""
        return min(1.0, self.step / self.steps) if self.steps else 0.0

    @property
    def run_fraction(self) -> float:
        """Return the finished share of the run, 0 to 1."""
        epochs_done = self.epoch - 1 + self.epoch_fraction
        return min(1.0, epochs_done / self.epochs) if self.epochs else 0.0

    @property
    def epoch_seconds_left(self) -> float | None:
        """Return the estimated seconds until the last training step; None while unknown."""
        if not self.steps or not self.steps_per_second:
            return None
        return max(0, self.steps - self.step) / self.steps_per_second

    @property
    def run_seconds_left(self) -> float | None:
        """Return the estimated seconds until the end of the run; None while unknown."""
        if self._first is None or self.run_fraction <= self._first[0]:
            return None
        seconds_per_run = (self._now - self._first[1]) / (self.run_fraction - self._first[0])
        return (1 - self.run_fraction) * seconds_per_run

    def _average(self, steps: int, seconds: float) -> None:
        fading = math.exp(-max(0.0, seconds) / MEMORY_SECONDS)
        self._recent_steps = self._recent_steps * fading + steps
        self._recent_seconds = self._recent_seconds * fading + seconds
        if self._recent_steps > 0 and self._recent_seconds > 0:
            self.steps_per_second = self._recent_steps / self._recent_seconds
