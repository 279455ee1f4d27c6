"""The `fitx launch` command: trains an experiment by several worker processes on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from . import _arguments


@click.command(short_help="Train with several workers on this machine.")
@_arguments.experiment_arguments
@click.option(
    "--workers", type=click.IntRange(1, 64), required=True, help="The number of worker processes."
)
@_arguments.training_options
def command(
    file: str,
    overrides: tuple[str, ...],
    workers: int,
    out: Path,
    resume: str | None,
    **flags: bool,
) -> int:
    """Train FILE by several workers on this machine, as `fitx train` does on several machines.

    Each worker is a process with `execution.strategy=multi_worker`. The first worker writes the
    run folder and shows the progress; messages of the others start with their number.

    \b
    fitx launch --workers 2 digits
    fitx launch --workers 4 my.yaml fit.epochs=20
    """
    from fitx.experiment.check import read
    from fitx.rundir.folder import check_writable

    from ._process import stdout_for_results
    from ._workers import run_workers

    words = (*overrides, "execution.strategy=multi_worker")
    # Problems of the experiment are reported once, and not by every worker.
    with stdout_for_results():
        read(file, words)
    check_writable(out)
    set_flags = [name.removeprefix("as_").replace("_", "-") for name in flags if flags[name]]
    options = [f"--{name}" for name in set_flags] + (["--resume", resume] if resume else [])
    return run_workers(["train", file, *words, "--out", str(out), *options], workers)
