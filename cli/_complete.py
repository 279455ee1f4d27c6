"""What the shell offers when a word is completed: files, shipped experiments, runs, parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem


class Word(click.ParamType):  # type: ignore[type-arg]  # Generic since click 8.2 only.
    """A word of the command line that completes to one of some names, or else to a file.

    Args:
        name: What the word is, for messages.
        names: Yields the names; called only while the shell completes.
        files: Whether the word may also be a file.
    """

    def __init__(self, name: str, names: Callable[[], Iterable[str]], *, files: bool) -> None:
        self.name, self.names, self.files = name, names, files

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that begin as typed; the shell adds the files itself."""
        found = sorted({name for name in self.names() if name.startswith(incomplete)})
        items = [CompletionItem(name) for name in found]
        return [*items, CompletionItem(incomplete, type="file")] if self.files else items


def experiments() -> Iterable[str]:
    """Return the names of the shipped experiments."""
    from fitx.experiment.yaml.locate import shipped

    return shipped()


def runs() -> Iterable[str]:
    """Return the names of the runs in the usual folder."""
    folders = [folder for folder in Path("runs").glob("*") if folder.is_dir()]
    # The shell shows them as they are.
    return [folder.name for folder in folders if folder.name.isprintable()]


def runs_and_experiments() -> Iterable[str]:
    """Return the names of the runs in the usual folder, and of the shipped experiments."""
    return [*runs(), *experiments()]


def kinds() -> Iterable[str]:
    """Return the kinds of parts."""
    from fitx.registry.kinds import KINDS

    return (*KINDS, "config")


def parts() -> Iterable[str]:
    """Return the names of all parts and shipped experiments."""
    from fitx.registry.kinds import KINDS
    from fitx.registry.part_index import PartIndex

    part_index = PartIndex()
    return [*experiments(), *(name for kind in KINDS for name in part_index.names(kind))]


EXPERIMENT = Word("file", experiments, files=True)
RUN = Word("run", runs, files=True)
TARGET = Word("target", runs_and_experiments, files=True)
KIND = Word("kind", kinds, files=False)
PART = Word("name", parts, files=True)
