"""Named stages of a command, such as `loading TensorFlow`, and the watcher that displays them.

A stage is reading data, importing TensorFlow, tracing a step, and so on. Stages are started and
ended by the main thread.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

StageWatcher = Callable[[str], None]
"""Shows the current stage; an empty text means that there is none."""


def _ignore(text: str) -> None:
    """Ignore the stage."""


_running: list[Stage] = []
"""The running stages, the outermost first."""

_watchers: list[StageWatcher] = [_ignore]
"""The registered watchers; only the last one is called."""


class Stage:
    """A stage that runs from its construction until `end`, or the end of a `with` block.

    Args:
        text: A description, such as `reading npz`.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        _running.append(self)
        _notify()

    def end(self) -> None:
        """Show the stage around this one again; does nothing when called twice."""
        if self in _running:
            _running.remove(self)
            _notify()

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()


def watch(watcher: StageWatcher) -> None:
    """Report stages to a watcher instead of the previous one, until `unwatch`."""
    _watchers[-1]("")
    _watchers.append(watcher)
    _notify()


def unwatch(watcher: StageWatcher) -> None:
    """Report stages to the previous watcher again; ignores an unknown watcher."""
    if watcher in _watchers:
        watcher("")
        _watchers.remove(watcher)
        _notify()


def _notify() -> None:
    _watchers[-1](_running[-1].text if _running else "")
