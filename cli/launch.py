"""fitx launch: train an experiment on a cluster of workers on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from . import _complete, _options


@click.command()
@click.argument("file", type=_complete.EXPERIMENT)
@_options.overrides
@click.option(
    "--workers", type=click.IntRange(1, 64), required=True, help="How many processes share it."
)
@_options.out
@_options.smoke
@_options.resume
@_options.allow_inexact
@_options.json_output
@_options.progress
def command(
    file: str,
    overrides: tuple[str, ...],
    workers: int,
    out: Path,
    resume: str | None,
    **flags: bool,
) -> int:
    """Train FILE by several workers on this machine, as `fitx train` does on several machines.

    Each worker is a process with `execution.strategy=multi_worker`. The first writes the run
    folder and shows the progress; what the others say begins with their number.

    \b
    fitx launch --workers 2 digits
    fitx launch --workers 4 my.yaml fit.epochs=20
    """
    from fitx.experiment.check import read
    from fitx.rundir.folder import check_writable

    from ._process import results_alone
    from ._workers import run

    words = (*overrides, "execution.strategy=multi_worker")
    # What is wrong with the experiment is said once, and not by every worker.
    with results_alone():
        read(file, words)
    check_writable(out)
    given = [name.removeprefix("as_").replace("_", "-") for name in flags if flags[name]]
    asked = [f"--{name}" for name in given] + (["--resume", resume] if resume else [])
    return run(["train", file, *words, "--out", str(out), *asked], workers)
