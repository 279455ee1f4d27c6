"""Stages of a command in which nothing else can be shown, told to whoever shows them.

A stage is one of reading data, importing TensorFlow, tracing a step, and so on. Stages are begun
and ended by the main thread.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

Watcher = Callable[[str], None]
"""Shows what goes on from now on; an empty text stands for nothing."""


def _ignore(text: str) -> None:
    """Show nothing."""


_running: list[Stage] = []
"""The stages that go on, the outermost first."""

_watchers: list[Watcher] = [_ignore]
"""Who is told: the last one."""


class Stage:
    """Something that goes on from its making until `end`, or until the end of a `with` block.

    Args:
        text: What goes on, such as `reading npz`.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        _running.append(self)
        _tell()

    def end(self) -> None:
        """Show the stage around this one again; does nothing when called twice."""
        if self in _running:
            _running.remove(self)
            _tell()

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()


def watch(watcher: Watcher) -> None:
    """Tell a watcher of the stages, and the one before it of nothing until `unwatch`."""
    _watchers[-1]("")
    _watchers.append(watcher)
    _tell()


def unwatch(watcher: Watcher) -> None:
    """Tell the watcher before this one again; does nothing for one that is not told."""
    if watcher in _watchers:
        watcher("")
        _watchers.remove(watcher)
        _tell()


def _tell() -> None:
    _watchers[-1](_running[-1].text if _running else "")
