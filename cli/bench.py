"""The `fitx bench` command: times stock Keras and every execution mode on an experiment."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from . import _arguments, _layout
from ._output import print_json, print_lines
from ._process import restart_with_hash_seed, stdout_for_results
from .display import choose_display
from .display.stage_display import show_stages

if TYPE_CHECKING:
    from fitx.commands.benchmark import Comparison, Row


@click.command(short_help="Time stock Keras and every mode on an experiment.")
@_arguments.experiment_arguments
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Number of times that each is timed; the medians are shown.",
)
@_arguments.json_option
@_arguments.progress_options
def command(
    file: str,
    overrides: tuple[str, ...],
    rounds: int,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Time the training of FILE with stock Keras and in every execution mode, side by side.

    \b
    fitx bench digits
    fitx bench my.yaml data.batch_size=256 --json

    Stock Keras is timed twice: with one step per call, and with several. Each trains its own
    networks on the same rows; they run alternately, and long epochs are cut short. Callbacks,
    validation and checkpoints are not timed. No run folder is created.
    """
    from fitx.training.train_request import demand_training

    with stdout_for_results() as output:
        experiment = _arguments.load_experiment(file, overrides)
        restart_with_hash_seed(experiment)
        demand_training(experiment, smoke=True)

        with show_stages(quiet):
            from fitx.commands.benchmark import bench

            comparison = bench(experiment, choose_display(quiet), rounds)
    if as_json:
        print_json(comparison.to_json(), output)
    else:
        width = _layout.output_width(output, otherwise=sys.maxsize)
        print_lines(_layout.wrapped_lines(_comparison_lines(comparison), width), output)


def _comparison_lines(comparison: Comparison) -> Iterator[str]:
    """Yield the lines of the table, and the mode of `fitx train` below it."""
    rows, name = comparison.rows, comparison.experiment
    width = max(len(row.name) for row in rows)
    yield f"{name}: epochs of {comparison.steps:,} steps of {comparison.batch_size:,} examples"
    yield f"{'':<{width}}  first step  next steps  examples/s  vs stock"
    for row in rows:
        yield f"{row.name:<{width}}  {_row_numbers(row) if row.step else row.reason}"
    yield f"fitx train runs this experiment in mode {comparison.mode} ({comparison.why})."


def _row_numbers(row: Row) -> str:
    ratio = "" if row.ratio is None else f"{row.ratio:8.2f}x"
    times = f"{_time(row.first_step):>10}  {_time(row.step):>10}"
    return f"{times}  {row.examples_per_second:10,.0f} {ratio}".rstrip()


def _time(seconds: float | None) -> str:
    """Format a time with three digits: 12.3 us, 4.56 ms, 7.89 s."""
    seconds = seconds or 0.0
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"
