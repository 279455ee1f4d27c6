"""`fitx`: the group of all subcommands, and what happens when one of them fails."""

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

from ._failure import report
from ._process import leave, prepare
from ._tensorflow import prepare_import


class Commands(click.Group):
    """Subcommands found by file name and imported only when one is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the name of every file beside this one that holds a command."""
        files = Path(__file__).parent.glob("*.py")
        return sorted(f.stem for f in files if not f.stem.startswith("_") and f.stem != "main")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the file of one command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"{__package__}.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command, or name the nearest there is."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            close = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            hint = (
                f" Did you mean '{close[0]}'?" if close and "Did you" not in error.message else ""
            )
            raise click.UsageError(f"no command '{args[0]}'.{hint}", ctx) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; whoever reads its output may leave when they have seen enough."""
        redaction.forget()
        with suppress(BrokenPipeError):
            return super().invoke(ctx)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fitx")
def group() -> None:
    """Train Keras models with your own training algorithm, from a YAML file.

    \b
    fitx train digits            trains on the shipped handwritten digits
    fitx list                    shows everything there is to name
    fitx copy guide/gan my.yaml  starts an experiment of your own
    """


def main() -> None:
    """Run the command line and leave with the documented exit code."""
    prepare()
    prepare_import(verbose="--verbose" in sys.argv)
    at_once = False
    try:
        code = group.main(standalone_mode=False, prog_name="fitx")
        with suppress(BrokenPipeError):
            sys.stdout.flush()
    except BaseException as error:
        code = report(error)
        # XLA, after it ran out of memory, crashes when the interpreter ends; NumPy does not.
        at_once = isinstance(error, OutOfMemory) and not isinstance(error.__cause__, MemoryError)
    leave(code if isinstance(code, int) else 0, at_once=at_once)


if __name__ == "__main__":
    main()
