"""fitx evaluate: measure a run, or an untrained experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import _complete, _options
from ._process import follow_seed, results_alone
from ._report import present
from ._worker import part
from .display.waiting import waiting


@click.command()
@click.argument("target", metavar="RUN|FILE", type=_complete.TARGET)
@_options.overrides
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    help="What to measure on; default: the first there is of test, validation, train.",
)
@click.option("--step", "step_name", metavar="NAME", help="Measure with another step's test_step.")
@click.option(
    "--weights",
    type=click.Choice(["last", "best"]),
    default="last",
    show_default=True,
    help="Which of a run's weights to measure.",
)
@_options.out
@click.option("--smoke", is_flag=True, help="Only try it: two steps.")
@_options.json_output
@_options.progress
def command(target: str, overrides: tuple[str, ...], out: Path, **options: Any) -> None:
    """Measure RUN, a run's folder or name, or the untrained experiment FILE.

    \b
    fitx evaluate digits                     the latest run called digits
    fitx evaluate runs/digits/latest --split validation
    fitx evaluate guide/evaluation           the guide's "own evaluation step"
    """
    from fitx.experiment.check import use_step
    from fitx.rundir.saved_experiment import read_target

    with results_alone() as output:
        name = options["step_name"]
        found = read_target(target, overrides, out, own_step=not name)
        follow_seed(found.experiment)
        experiment = use_step(found.experiment, name) if name else found.experiment

        with part(experiment, out) as mine, waiting(options["quiet"] or not mine.is_chief):
            from fitx.commands.evaluate import EvaluationRequest, evaluate

            from .display import choose

            steps = 2 if options["smoke"] else None
            question = EvaluationRequest(
                options["split"], found.run, options["weights"], steps, found.note
            )
            display = choose(options["quiet"] or not mine.is_chief)
            result = evaluate(experiment, question, display)
    if not mine.is_chief:
        return
    heading = f"{target} on the {result.split} split:"
    present(result, output, as_json=options["as_json"], heading=(heading,))
