"""summary.json: what came out of a run that is finished."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fitx.build.built import Trial
from fitx.rundir import journal, summary_file
from fitx.rundir.files import write_json
from fitx.training import expectations
from fitx.training.monitor import Observer
from fitx.training.result import Result, relative_to_cwd


def write(
    run: Path, trial: Trial, observer: Observer, values: dict[str, float], seconds: float
) -> Result:
    """Write summary.json and return what it says as a result.

    Args:
        run: The run's folder.
        trial: What was trained.
        observer: What it has seen.
        values: The final values by name.
        seconds: How long the run took, testing and saving included.
    """
    experiment = trial.experiment
    best = observer.state.best.epoch
    # Untrained networks are not held to what training is to reach.
    expect = experiment.expect if experiment.fit.epochs else {}
    # The last epoch need not have been validated.
    reached = {**(journal.latest(run) if expect else {}), **values}
    facts: dict[str, Any] = {
        "status": "finished",
        "epochs": observer.at.epoch,
        "steps": observer.at.step,
        "seconds": round(seconds, 3),
        "examples_per_second": _rate(trial, observer),
        "best": best.plain() if best is not None else None,
        "expect": expectations.judge(expect, reached),
    }
    write_json(run / summary_file.NAME, {"metrics": values, **facts})
    splits = trial.data.splits
    split = next((s for s in ("test", "validation", "train") if s in splits), None)
    return Result(relative_to_cwd(run), split, values, facts)


def _rate(trial: Trial, observer: Observer) -> float | None:
    """Return the training examples a second, validation included; None if nothing was trained."""
    steps = trial.data.steps("train")
    passes, rest = divmod(observer.at.step, steps)
    size = trial.data.batch_size
    examples = passes * min(steps * size, len(trial.data.splits["train"])) + rest * size
    seconds = observer.at.seconds
    return round(examples / seconds, 1) if seconds else None
