"""Arguments and options that several commands share: completion, and the experiment of FILE."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from ._output import print_error

if TYPE_CHECKING:
    from fitx.experiment.experiment import Experiment

Command = Callable[..., Any]


class CompletedWord(click.ParamType):  # type: ignore[type-arg]  # Generic since click 8.2 only.
    """An argument that the shell completes to one of several names, or to a file.

    Args:
        name: The name of the argument, for messages.
        names: Returns the names; called only while the shell completes.
        files: Whether the argument may also be a file.
    """

    def __init__(self, name: str, names: Callable[[], Iterable[str]], *, files: bool) -> None:
        self.name, self.names, self.files = name, names, files

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that start with the typed text; the shell adds the files itself."""
        matches = sorted({name for name in self.names() if name.startswith(incomplete)})
        items = [CompletionItem(name) for name in matches]
        return [*items, CompletionItem(incomplete, type="file")] if self.files else items


def _experiment_names() -> Iterable[str]:
    from fitx.experiment.yaml.locate import shipped

    return shipped()


def _run_names() -> Iterable[str]:
    """Return the names of the runs in the default folder."""
    folders = [folder for folder in Path("runs").glob("*") if folder.is_dir()]
    # The shell prints the names as they are: names with control characters are left out.
    return [folder.name for folder in folders if folder.name.isprintable()]


def _kind_names() -> Iterable[str]:
    from fitx.registry.kinds import KINDS

    return (*KINDS, "experiment")


def _part_names() -> Iterable[str]:
    """Return the names of all parts and shipped experiments."""
    from fitx.registry.kinds import KINDS
    from fitx.registry.part_index import PartIndex

    part_index = PartIndex()
    return [*_experiment_names(), *(name for kind in KINDS for name in part_index.names(kind))]


EXPERIMENT = CompletedWord("file", _experiment_names, files=True)
RUN = CompletedWord("run", _run_names, files=True)
RUN_OR_EXPERIMENT = CompletedWord(
    "target", lambda: [*_run_names(), *_experiment_names()], files=True
)
KIND = CompletedWord("kind", _kind_names, files=False)
PART = CompletedWord("name", _part_names, files=True)


def experiment_arguments(command: Command) -> Command:
    """Add FILE and the overrides of its keys."""
    command = overrides_argument(command)
    return click.argument("file", type=EXPERIMENT)(command)


def overrides_argument(command: Command) -> Command:
    """Add overrides of the experiment's keys: `key.path=value`."""
    return click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")(command)


def json_option(command: Command) -> Command:
    """Add `--json`."""
    text = "Print one JSON object on standard output, and nothing else there."
    return click.option("--json", "as_json", is_flag=True, help=text)(command)


def out_option(command: Command) -> Command:
    """Add `--out`."""
    return click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=True),
        default=Path("runs"),
        show_default=True,
        help="The folder that contains all runs.",
    )(command)


def training_options(command: Command) -> Command:
    """Add the options that `fitx launch` passes on to the `fitx train` of each worker."""
    smoke = "Run two steps each of training, validation and test."
    resume = "Resume RUN; auto: resume the newest unfinished run of FILE, if there is one."
    for add in (progress_options, json_option, allow_inexact_option):
        command = add(command)
    command = click.option("--resume", metavar="auto|RUN", help=resume)(command)
    command = click.option("--smoke", is_flag=True, help=smoke)(command)
    return out_option(command)


def allow_inexact_option(command: Command) -> Command:
    """Add `--allow-inexact`."""
    text = "Resume even if the result will differ from an uninterrupted run."
    return click.option("--allow-inexact", is_flag=True, help=text)(command)


def stop_after_option(command: Command) -> Command:
    """Add `--stop-after`, by which `fitx selftest` interrupts runs at a given step."""
    kind = click.IntRange(min=0)
    return click.option("--stop-after", type=kind, hidden=True, metavar="STEPS")(command)


def verbose_option(command: Command) -> Command:
    """Add `--verbose`."""
    text = "Show TensorFlow's messages and full tracebacks."
    return click.option("--verbose", is_flag=True, help=text)(command)


def progress_options(command: Command) -> Command:
    """Add `-q` and `--verbose`."""
    quiet = click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
    return quiet(verbose_option(command))


def load_experiment(file: str, overrides: tuple[str, ...]) -> Experiment:
    """Load and check the experiment that FILE names; its plugins are not imported yet."""
    from fitx.experiment.check import check_unimported
    from fitx.experiment.yaml.load import load

    note_shadowed_file(file)
    return check_unimported(load(file, overrides))


def note_shadowed_file(name: str) -> None:
    """Write to stderr if a name means a shipped experiment although such a file exists."""
    from fitx.experiment.yaml.locate import beside_shipped

    file = beside_shipped(name)
    if file is not None:
        print_error(f"{name} is the shipped experiment; write {file} for the file in this folder")
