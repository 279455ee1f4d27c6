"""The `fitx resume` command: resumes a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from . import _arguments
from ._process import restart_with_hash_seed, stdout_for_results
from ._results import print_result
from ._workers import worker_role
from .display import choose_display
from .display.stage_display import show_stages


@click.command(short_help="Continue a run.")
@click.argument("run", metavar="RUN", type=_arguments.RUN)
@_arguments.overrides_argument
@_arguments.allow_inexact_option
@_arguments.out_option
@_arguments.json_option
@_arguments.progress_options
@_arguments.stop_after_option
def command(
    run: str,
    overrides: tuple[str, ...],
    out: Path,
    as_json: bool,
    quiet: bool,
    stop_after: int | None,
    **options: bool,
) -> None:
    """Resume RUN, a run's folder or name, from its newest undamaged checkpoint.

    The result is the same, to the bit, as that of an uninterrupted run, however the run was
    interrupted. A finished run is left as it is, unless an override asks for more training.

    \b
    fitx resume digits                   resumes the latest run called digits
    fitx resume digits fit.epochs=20     trains it up to its 20th epoch
    """
    from fitx.rundir import folder
    from fitx.rundir.saved_experiment import read_unimported
    from fitx.training.resumption.resume_request import finished_result, open_for_resume

    with stdout_for_results() as output:
        path = folder.find_run(run, out)
        result = finished_result(path) if not overrides else None
        if result is not None:
            print_result(result, output, as_json=as_json)
            return
        experiment = read_unimported(path)
        restart_with_hash_seed(experiment)
        inexact = options["allow_inexact"]
        with (
            worker_role(experiment, out, quiet=quiet) as role,
            open_for_resume(role.run_folder(path), overrides, allow_inexact=inexact) as resumption,
            show_stages(role.quiet),
        ):
            from fitx.commands.resume import resume

            resumption = replace(resumption, stop_after=stop_after)
            result = resume(resumption, choose_display(role.quiet))
    if role.is_chief:
        print_result(result, output, as_json=as_json)
