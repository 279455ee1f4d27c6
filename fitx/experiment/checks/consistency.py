"""Whether the parts of an experiment agree: networks, loss, metrics, monitors with the step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fitx.experiment.checks import callback_files, networks, optimizers, schedules, strategies
from fitx.experiment.checks.metric_direction import direction
from fitx.experiment.experiment import Experiment
from fitx.experiment.problems import Problem, listed, nearest
from fitx.experiment.schema import Fit, Settings
from fitx.experiment.yaml.load import Document
from fitx.experiment.yaml.tree import KeyPath
from fitx.registry.kinds import Part
from fitx.registry.part_index import PartIndex
from fitx.registry.signature import NO_DEFAULT
from fitx.registry.step_facts import StepFacts

Found = Iterator[tuple[KeyPath, str]]


def problems(
    settings: Settings,
    document: Document,
    part_index: PartIndex,
    wrong: set[str],
    *,
    own_step: bool = True,
) -> list[Problem]:
    """Return what does not fit together.

    Args:
        settings: What the experiment says, without what is wrong by itself.
        document: Where it says so.
        part_index: The parts that the experiment may name.
        wrong: Top-level keys that have a problem already.
        own_step: Whether it is this experiment's step that runs on its loss and metrics.
    """
    found = [*_required(settings, wrong), *networks.written_twice(document)]
    found += strategies.problems(settings)
    found += callback_files.problems(settings.callbacks)
    found += schedules.problems(settings)
    step = settings.step
    signature = part_index.signature("step", step.name) if step else None
    facts = part_index.step_facts(step.name) if step else None
    if signature is not None:
        found += [
            (("step",), signature.misplaced_setting_text(p)) for p in signature.misplaced_settings
        ]
        found += (
            networks.misfits(settings, signature, wrong) if not signature.misplaced_settings else ()
        )
        found += _loss_and_metrics(settings, facts if own_step else None, signature.name, wrong)
        found += optimizers.problems(settings, part_index)
        found += _monitors(settings, part_index, facts, wrong)
    return [_told(document, path, text) for path, text in found]


def logged(experiment: Settings | Experiment, facts: StepFacts) -> set[str]:
    """Return the names that a shipped step logs, in training and in evaluation alike."""
    if "metrics" not in facts.uses:
        return set(facts.logs)
    metrics = {metric.logged_as for metric in experiment.metrics}
    weighted = {metric.logged_as for metric in experiment.weighted_metrics}
    # Keras calls one that stands in both lists so.
    return {*facts.logs, *metrics, *(f"weighted_{w}" if w in metrics else w for w in weighted)}


def not_logged(name: str, known: Sequence[str]) -> str:
    """Say that nothing logs a name that something watches."""
    verb = "are" if len(known) > 1 else "is"
    logs = f"logged {verb} {listed(known)}" if known else "nothing is logged"
    return f"'{name}' is not logged; {logs}.{nearest(name, known)}"


def _told(document: Document, path: KeyPath, text: str) -> Problem:
    node = document.tree.at(path)
    if node is None or node.raw is None:
        return Problem(document.place(path), path, text)
    # What came from the environment may be a secret.
    return Problem(node.place, path, f"what {node.raw} stands for does not fit the step.")


def _required(settings: Settings, wrong: set[str]) -> Found:
    for key, example in (("step", "step: supervised"), ("data", "data: digits")):
        if getattr(settings, key) is None and key not in wrong:
            yield (key,), f"missing; an experiment needs it, for example `{example}`."


def unused(key: str, step: str) -> str:
    """Say that a step uses no `loss` or no `metrics` of the experiment."""
    instead = "computes" if key == "loss" else "keeps"
    of_all = "no loss" if key == "loss" else "no metrics"
    return f"step '{step}' takes {of_all}: it {instead} its own; remove the key."


def missing_loss(step: str) -> str:
    """Say that a step computes a loss that the experiment does not give."""
    return f"missing; step '{step}' computes it, for example `loss: mse`."


def _loss_and_metrics(
    settings: Settings, facts: StepFacts | None, step: str, wrong: set[str]
) -> Found:
    uses: frozenset[str] | None = facts.uses if facts is not None else None
    if uses is not None and settings.loss is not None and "loss" not in uses:
        yield ("loss",), unused("loss", step)
    if uses is not None and settings.loss is None and "loss" in uses and "loss" not in wrong:
        yield ("loss",), missing_loss(step)
    for key in ("metrics", "weighted_metrics"):
        names = [metric.logged_as for metric in getattr(settings, key)]
        if uses is not None and names and "metrics" not in uses:
            yield (key,), unused("metrics", step)
        for index, name in enumerate(names):
            if name and name in names[:index]:
                yield (
                    (key, index),
                    f"'{name}' stands twice; remove one, or add `as: another_name` to it.",
                )


def _never_validated(settings: Settings, part_index: PartIndex) -> Found:
    """Find names of a validation that is watched, and that no epoch makes."""
    watched = [(path, name) for path, name, _ in _watched(settings, part_index)]
    for path, name in [*watched, *((("expect", name), name) for name in settings.expect)]:
        if name.startswith("val_") and settings.fit.is_never_validated:
            yield path, never_validated(name, settings.fit)


def never_validated(name: str, fit: Fit) -> str:
    """Say that the training ends before its first validation."""
    epochs = f"fit.epochs is {fit.epochs}"
    return f"'{name}' is never logged: fit.validation_freq is {fit.validation_freq}, and {epochs}."


def _monitors(
    settings: Settings, part_index: PartIndex, facts: StepFacts | None, wrong: set[str]
) -> Found:
    if settings.checkpoint.mode and settings.checkpoint.monitor is None:
        yield ("checkpoint", "mode"), "has no effect without `monitor`; add it, or remove this key."
    if wrong & {"metrics", "weighted_metrics"}:
        return
    own = sorted(logged(settings, facts)) if facts is not None else []
    while_training = [*own, *(f"val_{name}" for name in own)]
    if facts is not None:
        yield from _never_validated(settings, part_index)
    for path, name, mode in _watched(settings, part_index):
        if facts is not None and name not in while_training:
            yield path, not_logged(name, while_training)
        elif mode is None and direction(name) is None:
            yield path, f"say whether less or more of '{name}' is better: add `mode: min` or `max`."
    at_the_end = [*while_training, *(f"test_{name}" for name in own)]
    for name in settings.expect if facts is not None else ():
        if name not in at_the_end:
            yield ("expect", name), not_logged(name, at_the_end)


def _watched(
    settings: Settings, part_index: PartIndex
) -> Iterator[tuple[KeyPath, str, str | None]]:
    """Yield (path, monitored name, mode) of every key that watches a logged value."""
    checkpoint = settings.checkpoint
    if checkpoint.monitor is not None:
        yield ("checkpoint", "monitor"), checkpoint.monitor, checkpoint.mode
    for index, callback in enumerate(settings.callbacks):
        name, mode = monitored(callback, part_index)
        if name is not None:
            yield ("callbacks", index, "monitor"), name, mode


def monitored(callback: Part, part_index: PartIndex) -> tuple[str | None, str | None]:
    """Return the logged name that a callback watches, and its mode, None for undecided."""
    signature = part_index.signature("callback", callback.name)
    parameter = signature.get("monitor") if signature else None
    if parameter is None:
        return None, None
    default = parameter.default if parameter.default is not NO_DEFAULT else None
    mode = callback.options.get("mode", "auto")
    return callback.options.get("monitor", default), None if mode == "auto" else mode
