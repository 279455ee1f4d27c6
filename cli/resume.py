"""fitx resume: go on with a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from . import _complete, _options
from ._process import follow_seed, results_alone
from ._report import present
from ._worker import part
from .display.waiting import waiting


@click.command()
@click.argument("run", metavar="RUN", type=_complete.RUN)
@_options.overrides
@_options.allow_inexact
@_options.out
@_options.json_output
@_options.progress
@_options.stop_after
def command(run: str, overrides: tuple[str, ...], out: Path, **options: Any) -> None:
    """Go on with RUN, a run's folder or name, from its newest whole checkpoint.

    However it ended, it comes out the same to the bit as if it had never ended. A finished run
    is left as it is, unless there is more to train.

    \b
    fitx resume digits                   the latest run called digits
    fitx resume digits fit.epochs=20     trains it up to its 20th epoch
    """
    from fitx.rundir import folder
    from fitx.rundir.saved_experiment import read_unimported
    from fitx.training.resumption.resume_request import finished_result, open_for_resume

    with results_alone() as output:
        where = folder.find(run, out)
        result = finished_result(where) if not overrides else None
        if result is not None:
            present(result, output, as_json=options["as_json"])
            return
        trained = read_unimported(where)
        follow_seed(trained)
        with (
            part(trained, out) as mine,
            open_for_resume(
                mine.own(where), overrides, allow_inexact=options["allow_inexact"]
            ) as order,
            waiting(options["quiet"] or not mine.is_chief),
        ):
            from fitx.commands.resume import resume

            from .display import choose

            display = choose(options["quiet"] or not mine.is_chief)
            result = resume(replace(order, stop_after=options["stop_after"]), display)
    if mine.is_chief:
        present(result, output, as_json=options["as_json"])
