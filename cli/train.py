"""fitx train: train an experiment."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from . import _options
from ._report import result_lines


@click.command()
@click.argument("file")
@_options.overrides
@_options.out
@click.option("--smoke", is_flag=True, help="Only try it: two steps of everything.")
@_options.json_output
@_options.progress
def command(
    file: str,
    overrides: tuple[str, ...],
    out: Path,
    smoke: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Train FILE, an experiment file or the name of a shipped one.

    \b
    fitx train digits
    fitx train my.yaml fit.epochs=20 optimizer.learning_rate=1e-4
    fitx train my.yaml '~callbacks' 'metrics+=mae'
    """
    from fitx.experiment.check import read
    from fitx.rundir.folder import check_writable

    experiment = read(file, overrides)
    check_writable(out)

    from fitx.run.train import Order, train

    from .display import choose

    order = Order(out, tuple(sys.argv[1:]), smoke)
    result = train(experiment, order, choose(quiet))
    click.echo(json.dumps(result.plain()) if as_json else "\n".join(result_lines(result)))
