"""The `fitx evaluate` command: evaluates a run, or an untrained experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import _arguments
from ._process import restart_with_hash_seed, stdout_for_results
from ._results import print_result
from ._workers import worker_role
from .display import choose_display
from .display.stage_display import show_stages


@click.command(short_help="Evaluate a run or an untrained experiment.")
@click.argument("target", metavar="RUN|FILE", type=_arguments.RUN_OR_EXPERIMENT)
@_arguments.overrides_argument
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    help="The data to evaluate on.  [default: the first of test, validation, train that exists]",
)
@click.option(
    "--step", "step_name", metavar="NAME", help="Evaluate with the test_step of another step."
)
@click.option(
    "--weights",
    type=click.Choice(["last", "best"]),
    default="last",
    show_default=True,
    help="The weights of the run: of its last or of its best epoch.",
)
@_arguments.out_option
@click.option("--smoke", is_flag=True, help="Evaluate two steps only.")
@_arguments.json_option
@_arguments.progress_options
def command(target: str, overrides: tuple[str, ...], out: Path, **options: Any) -> None:
    """Evaluate RUN, a run's folder or name, or the untrained experiment FILE.

    \b
    fitx evaluate digits                     the latest run called digits
    fitx evaluate runs/digits/latest --split validation
    fitx evaluate guide/evaluation           the guide's "own evaluation step"
    """
    from fitx.experiment.check import use_step
    from fitx.rundir.saved_experiment import read_target

    with stdout_for_results() as output:
        name = options["step_name"]
        saved = read_target(target, overrides, out, own_step=not name)
        restart_with_hash_seed(saved.experiment)
        experiment = use_step(saved.experiment, name) if name else saved.experiment

        with (
            worker_role(experiment, out, quiet=options["quiet"]) as role,
            show_stages(role.quiet),
        ):
            from fitx.commands.evaluate import EvaluationRequest, evaluate

            steps = 2 if options["smoke"] else None
            request = EvaluationRequest(
                options["split"], saved.run, options["weights"], steps, saved.note
            )
            result = evaluate(experiment, request, choose_display(role.quiet))
    if role.is_chief:
        heading = f"{target} on the {result.split} split:"
        print_result(result, output, as_json=options["as_json"], heading=(heading,))
