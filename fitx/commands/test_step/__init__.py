"""Tests the step of an experiment: gradients, loss, metrics, modes, precision, devices, resume."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from fitx.commands.test_step.execution_checks import (
    check_modes,
    check_precision,
    check_rows,
)
from fitx.commands.test_step.finding import (
    FAILED,
    NOT_CHECKED,
    OK,
    Finding,
    Verdict,
    checked,
    error_text,
)
from fitx.commands.test_step.loss_check import check_loss
from fitx.commands.test_step.probed_step import ProbedStep
from fitx.commands.test_step.process_checks import ChildCommands, check_devices, check_resume
from fitx.commands.test_step.training_checks import (
    check_evaluation,
    check_frozen,
    check_gradients,
    check_metrics,
)
from fitx.errors import Interrupted, UserCodeError
from fitx.experiment.experiment import Experiment
from fitx.experiment.problems import ConfigError
from fitx.runtime import Runtime
from fitx.stages import Stage
from fitx.training.setup import prepare_runtime
from fitx.training.signals import StopRequest, listening

Check = Callable[[], Verdict]


@dataclass(frozen=True)
class StepTestRequest:
    """The test that the user asked for.

    Args:
        experiment: The experiment with the step; its plugins have not been imported.
        arguments: The experiment file and the overrides, as on the command line.
        command: The command that starts fitx.
        skipped: The names of checks to leave out.
    """

    experiment: Experiment
    arguments: Sequence[str]
    command: Sequence[str]
    skipped: Collection[str] = ()


@dataclass(frozen=True)
class StepTestReport:
    """The findings about a step.

    Args:
        experiment: The name of the experiment.
        step: The name of the step.
        findings: One finding for each check.
    """

    experiment: str
    step: str
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> list[Finding]:
        """The findings that need a change of the step."""
        return [finding for finding in self.findings if finding.status == FAILED]

    @property
    def summary(self) -> str:
        """The numbers of findings by status."""
        counts = Counter(finding.status for finding in self.findings)
        parts = [f"{counts[s]} {s}" for s in (OK, FAILED, NOT_CHECKED) if counts[s]]
        return f"{self.experiment}, step {self.step}: {', '.join(parts)}"

    def to_json(self) -> dict[str, Any]:
        """Return the report as the one JSON object of `--json`."""
        return {**vars(self), "findings": [vars(finding) for finding in self.findings]}


def test_step(
    request: StepTestRequest, notify: Callable[[Finding], None] = lambda finding: None
) -> StepTestReport:
    """Run every check on the step of an experiment; leave no files.

    Args:
        request: The request.
        notify: Is called with each finding at once.

    Raises:
        ConfigError, DataError, DeviceError, UserCodeError: The step cannot be built or traced.
        Interrupted: A signal came.
    """
    execution = request.experiment.execution.model_copy(update={"eager": False})
    experiment = replace(request.experiment, callbacks=[], execution=execution)
    device = prepare_runtime(experiment)
    findings = []
    with listening() as stop:
        probed, refusal = _probed(experiment, device)
        children = ChildCommands(request.command, request.arguments, stop)
        for name, check in _checks(probed, refusal, children).items():
            verdict = _left_out if name in request.skipped else check
            with Stage(f"checking {name}"):
                findings.append(checked(experiment, name, verdict))
            notify(findings[-1])
            _stop_if_asked(stop)
    return StepTestReport(experiment.name, experiment.step.name, tuple(findings))


def _probed(experiment: Experiment, device: Runtime) -> tuple[ProbedStep, str]:
    """Return the traced step, and the error if it can be traced for full batches only."""
    try:
        return ProbedStep(experiment, device), ""
    except (ConfigError, UserCodeError) as error:
        refusal = error
    try:
        return ProbedStep(experiment, device, keeps_short_batches=False), error_text(refusal)
    except (ConfigError, UserCodeError):
        raise refusal from None


def _checks(probed: ProbedStep, refusal: str, children: ChildCommands) -> dict[str, Check]:
    """Return the checks by name, those that need other processes last."""
    return {
        "gradients": partial(check_gradients, probed),
        "frozen": partial(check_frozen, probed),
        "loss": partial(check_loss, probed),
        "metrics": partial(check_metrics, probed),
        "evaluation": partial(check_evaluation, probed),
        "rows": partial(check_rows, probed, refusal),
        "modes": partial(check_modes, probed),
        "precision": partial(check_precision, probed),
        "devices": partial(check_devices, probed, children),
        "resume": partial(check_resume, probed, children),
    }


def _left_out() -> Verdict:
    return NOT_CHECKED, "left out, as the command line says"


def _stop_if_asked(stop: StopRequest) -> None:
    if stop.number:
        raise Interrupted(f"stopped by {stop.name} before all checks were done.", stop.number)
