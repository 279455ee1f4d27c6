"""fitx bench: time the ways to train an experiment, and say where the time goes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from . import _complete, _layout, _options
from ._output import write_json, write_lines
from ._process import follow_seed, results_alone
from ._shadowed import tell_shadowed
from .display.waiting import waiting

if TYPE_CHECKING:
    from fitx.commands.benchmark.table import Comparison, Row


@click.command()
@click.argument("file", type=_complete.EXPERIMENT)
@_options.overrides
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="How often each way is timed; the median counts.",
)
@_options.json_output
@_options.progress
def command(
    file: str,
    overrides: tuple[str, ...],
    rounds: int,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Time the training of FILE: stock Keras, with several steps a call too, and every mode.

    \b
    fitx bench digits
    fitx bench my.yaml data.batch_size=256 --json

    All train in turn on the same rows, each on networks of its own; long epochs are cut short.
    Then the time of a step in the experiment's own mode is divided:

    \b
    input      what a step takes less when its batch is always there already
    dispatch   what fit takes for a step whose batch is there, beyond the step itself
    device     the compiled step alone, on batches that are there
    callbacks  inside the experiment's callbacks, which run in a temporary folder

    Validation, checkpoints and what they cost are no part of it. No run folder is made.
    """
    from fitx.experiment.check import check_unimported
    from fitx.experiment.yaml.load import load
    from fitx.training.train_request import demand_training

    with results_alone() as output:
        tell_shadowed(file)
        experiment = check_unimported(load(file, overrides))
        follow_seed(experiment)
        demand_training(experiment, smoke=True)

        with waiting(quiet):
            from fitx.commands.benchmark import bench

            from .display import choose

            comparison = bench(experiment, choose(quiet), rounds)
    if as_json:
        write_json(comparison.to_json(), output)
    else:
        wide = _layout.width(output, otherwise=sys.maxsize)
        write_lines(_layout.fitted(table(comparison), wide), output)


def table(found: Comparison) -> Iterator[str]:
    """Yield the lines that people read."""
    rows = found.rows
    width = max(len(row.name) for row in rows)
    yield f"{found.experiment}: epochs of {found.steps:,} steps of {found.batch_size:,} examples"
    yield f"{'':<{width}}  first step     a step  examples/s  to stock"
    for row in rows:
        yield f"{row.name:<{width}}  {_numbers(row) if row.step else row.reason}"
    yield f"fitx train: {found.mode} ({found.why})"
    if found.shares is not None:
        seconds = found.shares.seconds()
        whole = sum(seconds.values())
        parts = (f"{name} {_time(s)} ({s / whole:.0%})" for name, s in seconds.items())
        yield f"where a step goes: {', '.join(parts)}"
        yield f"bottleneck: {found.shares.bottleneck}; {found.advice}"


def _numbers(row: Row) -> str:
    ratio = "" if row.ratio is None else f"{row.ratio:8.2f}x"
    times = f"{_time(row.first_step):>10}  {_time(row.step):>9}"
    return f"{times}  {row.examples_per_second:10,.0f} {ratio}".rstrip()


def _time(seconds: float | None) -> str:
    """Spell a time with three digits: 12.3 us, 4.56 ms, 7.89 s."""
    seconds = seconds or 0.0
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"
