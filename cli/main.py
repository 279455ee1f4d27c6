"""`fitx`: the group of all subcommands, and what happens when one of them fails."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import json
import os
import sys
import traceback
from pathlib import Path

import click

from fitx.errors import FitxError, UserCodeError

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
    prepare_import(verbose="--verbose" in sys.argv)
    try:
        code = group.main(standalone_mode=False, prog_name="fitx")
        sys.stdout.flush()
    except BaseException as error:
        code = _report(error)
    _leave(code if isinstance(code, int) else 0)


def _report(error: BaseException) -> int:
    """Say what went wrong, on stderr (with --json: on stdout, as JSON); return the exit code."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return 130
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.ClickException):
        error.show()
        return 2
    if isinstance(error, BrokenPipeError):
        return 0
    text, code = _told(error)
    if "--json" in sys.argv:
        problems = [p.plain() for p in getattr(error, "problems", [])]
        _print_json({"error": str(error) or text, "code": code, "problems": problems})
    _print_error(text)
    return code


def _told(error: BaseException) -> tuple[str, int]:
    """Return the text of an error and its exit code; a traceback only for a bug in fitx."""
    shows_traceback = "--verbose" in sys.argv
    trace = "".join(traceback.format_exception(error)) if shows_traceback else ""
    if isinstance(error, UserCodeError):
        return f"{trace}{error.frames}\n{error}".strip(), error.exit_code
    if isinstance(error, FitxError):
        return f"{trace}{error}", error.exit_code
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{trace}{place}{error.strerror or error}", 7
    trace = "".join(traceback.format_exception(error))
    return f"{trace}This is a bug in fitx, version and command above; please report it.", 1


def _print_json(value: dict[str, object]) -> None:
    with contextlib.suppress(OSError):
        print(json.dumps(value), flush=True)


def _print_error(text: str) -> None:
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def _leave(code: int) -> None:
    """Exit; a standard output that cannot take what is left is an error of its own."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError) and code == 0:
            _print_error(f"cannot write to standard output: {error.strerror}")
            code = 7
    sys.exit(code)


if __name__ == "__main__":
    main()
