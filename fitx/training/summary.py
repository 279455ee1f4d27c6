"""summary.json: what came out of a run that is finished."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fitx.build.built import BuiltExperiment
from fitx.rundir import journal, summary_file
from fitx.rundir.files import write_json
from fitx.training import expectations
from fitx.training.monitor import RunMonitor
from fitx.training.result import Result, relative_to_cwd


def write(
    run: Path,
    built: BuiltExperiment,
    run_monitor: RunMonitor,
    values: dict[str, float],
    seconds: float,
) -> Result:
    """Write summary.json and return what it says as a result.

    Args:
        run: The run's folder.
        built: What was trained.
        run_monitor: What it has seen.
        values: The final values by name.
        seconds: How long the run took, testing and saving included.
    """
    experiment = built.experiment
    best = run_monitor.state.best.epoch
    # Untrained networks are not held to what training is to reach.
    expect = experiment.expect if experiment.fit.epochs else {}
    # The last epoch need not have been validated.
    reached = {**(journal.latest(run) if expect else {}), **values}
    facts: dict[str, Any] = {
        "status": "finished",
        "epochs": run_monitor.at.epoch,
        "steps": run_monitor.at.step,
        "seconds": round(seconds, 3),
        "examples_per_second": _rate(built, run_monitor),
        "best": best.to_json() if best is not None else None,
        "expect": expectations.judge(expect, reached),
    }
    write_json(run / summary_file.NAME, {"metrics": values, **facts})
    splits = built.data.splits
    split = next((s for s in ("test", "validation", "train") if s in splits), None)
    return Result(relative_to_cwd(run), split, values, facts)


def _rate(built: BuiltExperiment, run_monitor: RunMonitor) -> float | None:
    """Return the training examples a second, validation included; None if nothing was trained."""
    steps = built.data.steps("train")
    passes, rest = divmod(run_monitor.at.step, steps)
    size = built.data.batch_size
    examples = passes * min(steps * size, len(built.data.splits["train"])) + rest * size
    seconds = run_monitor.at.seconds
    return round(examples / seconds, 1) if seconds else None
