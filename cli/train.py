"""fitx train: train an experiment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from . import _complete, _options
from ._process import results_alone
from ._report import present
from ._worker import part


@click.command()
@click.argument("file", type=_complete.EXPERIMENT)
@_options.overrides
@_options.out
@click.option("--smoke", is_flag=True, help="Only try it: two steps of everything.")
@_options.json_output
@_options.progress
@_options.stop_after
def command(
    file: str,
    overrides: tuple[str, ...],
    out: Path,
    smoke: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    stop_after: int | None,
) -> None:
    """Train FILE, an experiment file or the name of a shipped one.

    \b
    fitx train digits
    fitx train my.yaml fit.epochs=20 optimizer.learning_rate=1e-4
    fitx train my.yaml '~callbacks' 'metrics+=mae'
    """
    from fitx.experiment.check import read
    from fitx.run.order import place

    with results_alone() as output:
        experiment = read(file, overrides)
        with part(experiment, out) as mine:
            order = place(experiment, mine.out, smoke=smoke)
            order = replace(order, stop_after=stop_after)

            from fitx.run.train import train

            from .display import choose

            result = train(experiment, order, choose(quiet or not mine.is_chief))
    if mine.is_chief:
        present(result, output, as_json=as_json)
