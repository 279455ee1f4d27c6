"""`Finding`: the result of one check of a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fitx.build.error_attribution import first_sentence, user_errors
from fitx.errors import FitxError, Interrupted, OutOfMemory, UserCodeError
from fitx.experiment.experiment import Experiment
from fitx.training.child_process import KilledFromOutside

OK, FAILED, NOT_CHECKED = "ok", "failed", "not checked"
"""The statuses of a check, in words for the report."""


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Args:
        check: The name of the check.
        status: OK, FAILED or NOT_CHECKED.
        text: The facts that were found; for a failed check with the remedy, and the reason if
            nothing was checked.
    """

    check: str
    status: str
    text: str


Verdict = tuple[str, str]
"""The status and the text of a finding."""


def checked(experiment: Experiment, name: str, check: Callable[[], Verdict]) -> Finding:
    """Run one check; an error that it raises is a failure of the step.

    Signals and a lack of memory end all checks.
    """
    try:
        with user_errors(experiment):
            return Finding(name, *check())
    except (Interrupted, KilledFromOutside, OutOfMemory):
        raise
    except Exception as error:
        return Finding(name, FAILED, error_text(error))


def error_text(error: Exception) -> str:
    """Return an error in words, with the frames of the user's code if it came from there."""
    if isinstance(error, UserCodeError):
        return "\n".join(filter(None, [str(error), error.frames]))
    return str(error) if isinstance(error, FitxError) else first_sentence(error)
