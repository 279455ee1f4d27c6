"""The `fitx` command: finds and runs a subcommand, and exits with the documented code."""

from __future__ import annotations

import difflib
import importlib
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from fitx import redaction
from fitx.errors import OutOfMemory

from ._process import exit_with, prepare_process
from ._results import print_failure
from ._tensorflow_import import prepare_tensorflow_import


class Commands(click.Group):
    """The subcommands, one per file of this folder; a file is imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the files that contain a command."""
        files = Path(__file__).parent.glob("*.py")
        stems = (f.stem for f in files if not f.stem.startswith("_") and f.stem != "main")
        return sorted(stem.replace("_", "-") for stem in stems)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the file of a command and return the command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(
            f"{__package__}.{cmd_name.replace('-', '_')}"
        ).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; the error for an unknown name suggests the nearest one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            close = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            hint = (
                f" Did you mean '{close[0]}'?" if close and "Did you" not in error.message else ""
            )
            raise click.UsageError(f"no command '{args[0]}'.{hint}", ctx) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a reader of its output such as `head` may close the pipe early."""
        redaction.forget()
        with suppress(BrokenPipeError):
            return super().invoke(ctx)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fitx")
def group() -> None:
    """Train Keras models with your own training algorithm, from a YAML file.

    \b
    fitx train digits            trains the shipped experiment on handwritten digits
    fitx list                    lists all parts and shipped experiments
    fitx copy guide/gan my.yaml  copies a shipped experiment as the start of your own
    """


def main() -> None:
    """Run the command line and exit with the documented code."""
    prepare_process()
    prepare_tensorflow_import(verbose="--verbose" in sys.argv)
    at_once = False
    try:
        code = group.main(standalone_mode=False, prog_name="fitx")
        with suppress(BrokenPipeError):
            sys.stdout.flush()
    except BaseException as error:
        code = print_failure(error)
        # XLA crashes at the end of the interpreter once it ran out of memory; NumPy does not.
        at_once = isinstance(error, OutOfMemory) and not isinstance(error.__cause__, MemoryError)
    exit_with(code if isinstance(code, int) else 0, at_once=at_once)


if __name__ == "__main__":
    main()
