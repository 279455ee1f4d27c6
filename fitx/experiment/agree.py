"""Whether the parts of an experiment agree: networks, loss, metrics, monitors with the step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fitx.experiment import networks, optimizers, strategies
from fitx.experiment.direction import direction
from fitx.experiment.load import Document
from fitx.experiment.problems import Problem, listed, nearest
from fitx.experiment.schema import Settings
from fitx.experiment.tree import Path
from fitx.registry.catalogue import Catalogue
from fitx.registry.kinds import Part
from fitx.registry.signature import NO_DEFAULT
from fitx.registry.step_source import COMPILED, StepFacts

Found = Iterator[tuple[Path, str]]


def problems(
    settings: Settings, document: Document, catalogue: Catalogue, wrong: set[str]
) -> list[Problem]:
    """Return what does not fit together.

    Args:
        settings: What the experiment says, without what is wrong by itself.
        document: Where it says so.
        catalogue: The parts there are.
        wrong: Top-level keys that have a problem already.
    """
    found = [*_required(settings, wrong), *networks.written_twice(document)]
    found += strategies.problems(settings)
    step = settings.step
    signature = catalogue.signature("step", step.name) if step else None
    facts = catalogue.step(step.name) if step else None
    if signature is not None and facts is not None:
        found += networks.misfits(settings, signature, wrong)
        found += _loss_and_metrics(settings, facts, signature.name, wrong)
        found += optimizers.problems(settings, catalogue, facts)
        found += _monitors(settings, catalogue, facts, wrong)
    return [_told(document, path, text) for path, text in found]


def logged(settings: Settings, facts: StepFacts) -> tuple[set[str] | None, set[str] | None]:
    """Return the names logged in training and in evaluation, None where only a run can tell."""
    metrics = {metric.name for metric in settings.metrics}

    def names(logs: frozenset[str] | None) -> set[str] | None:
        if logs is None:
            return None
        return (set(logs) - {COMPILED}) | (metrics if COMPILED in logs else set())

    return names(facts.train_logs), names(facts.test_logs)


def not_logged(name: str, known: Sequence[str]) -> str:
    """Say that nothing logs a name that something watches."""
    verb = "are" if len(known) > 1 else "is"
    logs = f"logged {verb} {listed(known)}" if known else "nothing is logged"
    return f"'{name}' is not logged; {logs}.{nearest(name, known)}"


def _told(document: Document, path: Path, text: str) -> Problem:
    node = document.tree.at(path)
    if node is None or node.raw is None:
        return Problem(document.place(path), path, text)
    # What came from the environment may be a secret.
    return Problem(node.place, path, f"what {node.raw} stands for does not fit the step.")


def _required(settings: Settings, wrong: set[str]) -> Found:
    for key, example in (("step", "step: supervised"), ("data", "data: digits")):
        if getattr(settings, key) is None and key not in wrong:
            yield (key,), f"missing; an experiment needs it, for example `{example}`."


def _loss_and_metrics(settings: Settings, facts: StepFacts, step: str, wrong: set[str]) -> Found:
    if settings.loss is not None and not facts.takes_loss:
        yield ("loss",), f"step '{step}' takes no loss: it computes its own; remove the key."
    if settings.loss is None and facts.takes_loss and "loss" not in wrong:
        yield ("loss",), f"missing; step '{step}' computes it, for example `loss: mse`."
    if settings.metrics and not facts.takes_metrics:
        yield ("metrics",), f"step '{step}' takes no metrics: it keeps its own; remove the key."
    names = [metric.name for metric in settings.metrics]
    for index, name in enumerate(names):
        if name and name in names[:index]:
            yield ("metrics", index), f"'{name}' stands twice; remove one."


def _monitors(settings: Settings, catalogue: Catalogue, facts: StepFacts, wrong: set[str]) -> Found:
    if settings.checkpoint.mode and settings.checkpoint.monitor is None:
        yield ("checkpoint", "mode"), "has no effect without `monitor`; add it, or remove this key."
    if "metrics" in wrong:
        return
    logs = _Logs(*logged(settings, facts))
    for path, name, mode in _watched(settings, catalogue):
        if not logs.may_hold(name, logs.while_training):
            yield path, not_logged(name, logs.while_training)
        elif mode is None and direction(name) is None:
            yield path, f"say whether less or more of '{name}' is better: add `mode: min` or `max`."
    for name in settings.expect:
        if not logs.may_hold(name, logs.at_the_end):
            yield ("expect", name), not_logged(name, logs.at_the_end)


class _Logs:
    """What a run will log, as far as the step's source tells."""

    def __init__(self, train: set[str] | None, test: set[str] | None) -> None:
        self._unknown = {"train": train is None, "test": test is None}
        tests = sorted(test or ())
        self.while_training = [*sorted(train or ()), *(f"val_{name}" for name in tests)]
        self.at_the_end = [*self.while_training, *(f"test_{name}" for name in tests)]

    def may_hold(self, name: str, known: list[str]) -> bool:
        is_tested = name.startswith(("val_", "test_"))
        return name in known or self._unknown["test" if is_tested else "train"]


def _watched(settings: Settings, catalogue: Catalogue) -> Iterator[tuple[Path, str, str | None]]:
    """Yield (path, monitored name, mode) of every key that watches a logged value."""
    checkpoint = settings.checkpoint
    if checkpoint.monitor is not None:
        yield ("checkpoint", "monitor"), checkpoint.monitor, checkpoint.mode
    for index, callback in enumerate(settings.callbacks):
        name, mode = monitored(callback, catalogue)
        if name is not None:
            yield ("callbacks", index, "monitor"), name, mode


def monitored(callback: Part, catalogue: Catalogue) -> tuple[str | None, str | None]:
    """Return the logged name that a callback watches, and its mode, None for undecided."""
    signature = catalogue.signature("callback", callback.name)
    parameter = signature.get("monitor") if signature else None
    if parameter is None:
        return None, None
    default = parameter.default if parameter.default is not NO_DEFAULT else None
    mode = callback.options.get("mode", "auto")
    return callback.options.get("monitor", default), None if mode == "auto" else mode
