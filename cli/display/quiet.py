"""The display of `-q`: nothing at all."""

from collections.abc import Callable

from fitx.training.progress import Plan


class NoDisplay:
    """Shows nothing."""

    def begin(self, plan: Plan) -> None:
        """Show nothing."""

    def epoch_begin(self, epoch: int) -> None:
        """Show nothing."""

    def step(self, step: int, values: Callable[[], dict[str, float]]) -> None:
        """Show nothing."""

    def validation_step(self, step: int, steps: int) -> None:
        """Show nothing."""

    def epoch_end(self, epoch: int, values: dict[str, float], seconds: float) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def end(self) -> None:
        """Nothing to restore."""
