"""Whether the parts of an experiment agree: networks, loss, metrics, monitors with the step."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fitx.experiment.direction import direction
from fitx.experiment.load import Document
from fitx.experiment.problems import Problem, listed, nearest
from fitx.experiment.schema import Settings
from fitx.experiment.tree import Path
from fitx.registry import keras_parts
from fitx.registry.catalogue import Catalogue
from fitx.registry.kinds import Part
from fitx.registry.signature import NO_DEFAULT, Signature
from fitx.registry.step_source import COMPILED, StepFacts

Found = Iterator[tuple[Path, str]]

NEED_ONE_OPTIMIZER = ("LearningRateScheduler", "ReduceLROnPlateau")


def problems(
    settings: Settings, document: Document, catalogue: Catalogue, known: set[Path]
) -> list[Problem]:
    """Return what does not fit together, leaving out keys that have a problem already."""
    wrong = {path[0] for path in known if path}
    checks: list[Callable[[], Found]] = [lambda: _required(settings, document, wrong)]
    step = settings.step
    signature = catalogue.signature("step", step.name) if step else None
    facts = catalogue.step(step.name) if step else None
    if signature is not None and facts is not None:
        checks += [
            lambda: _networks(settings, signature, wrong),
            lambda: _loss_and_metrics(settings, document, facts, signature.name, wrong),
            lambda: _optimizers(settings, catalogue, facts),
            lambda: _monitors(settings, catalogue, facts, wrong),
        ]
    found = [item for check in checks for item in check()]
    return [Problem(document.place(path), path, text) for path, text in found]


def networks(settings: Settings, catalogue: Catalogue) -> dict[str, Part]:
    """Return the networks by name; `model:` is the one network of a step that has one."""
    return settings.networks or _single(settings, settings.model, catalogue)


def optimizers(settings: Settings, catalogue: Catalogue) -> dict[str, Part]:
    """Return the optimizers by network; `optimizer:` is that of the one network."""
    return settings.optimizers or _single(settings, settings.optimizer, catalogue)


def logged(settings: Settings, facts: StepFacts) -> tuple[set[str] | None, set[str] | None]:
    """Return the names logged in training and in evaluation, None where only a run can tell."""
    metrics = {metric.name for metric in settings.metrics}

    def names(logs: frozenset[str] | None) -> set[str] | None:
        if logs is None:
            return None
        return (set(logs) - {COMPILED}) | (metrics if COMPILED in logs else set())

    return names(facts.train_logs), names(facts.test_logs)


def _single(settings: Settings, part: Part | None, catalogue: Catalogue) -> dict[str, Part]:
    signature = catalogue.signature("step", settings.step.name) if settings.step else None
    names = [p.name for p in signature.positional] if signature else []
    return {} if part is None else {names[0] if len(names) == 1 else "model": part}


def _required(settings: Settings, document: Document, wrong: set[str | int]) -> Found:
    for key, example in (("step", "step: supervised"), ("data", "data: digits")):
        if getattr(settings, key) is None and key not in wrong:
            yield (key,), f"missing; an experiment needs it, for example `{example}`."
    for one, many in (("model", "networks"), ("optimizer", "optimizers")):
        if document.tree.at((one,)) is not None and document.tree.at((many,)) is not None:
            yield (many,), f"stands beside '{one}'; write one of the two."


def _networks(settings: Settings, signature: Signature, wrong: set[str | int]) -> Found:
    names = [p.name for p in signature.positional]
    step, many = f"step '{signature.name}'", len(names) > 1
    if many and settings.model is not None:
        text = f"{step} has {len(names)} networks: write `networks:` with {listed(names)}."
        yield ("model",), text
        return
    if many and settings.optimizer is not None:
        yield ("optimizer",), f"{step} has {len(names)} networks: write `optimizers:` by network."
    for key, given in (("networks", settings.networks), ("optimizers", settings.optimizers)):
        for name in given:
            if name not in names:
                text = f"{step} has no network '{name}'; it takes {listed(names)}."
                yield (key, name), text
    if not wrong & {"model", "networks"}:
        yield from _missing_networks(settings, signature)


def _missing_networks(settings: Settings, signature: Signature) -> Found:
    required = [p.name for p in signature.positional if p.required]
    step, many = f"step '{signature.name}'", len(signature.positional) > 1
    missing = [name for name in required if name not in settings.networks]
    if settings.model is not None:
        return
    for name in missing:
        if many or settings.networks:
            yield ("networks",), f"the network '{name}' is missing; {step} needs it."
        else:
            yield ("model",), f"missing; {step} needs a network, for example `model: mlp`."


def _loss_and_metrics(
    settings: Settings, document: Document, facts: StepFacts, step: str, wrong: set[str | int]
) -> Found:
    if settings.loss is not None and not facts.takes_loss:
        yield ("loss",), f"step '{step}' takes no loss: it computes its own; remove the key."
    if settings.loss is None and facts.takes_loss and "loss" not in wrong:
        yield ("loss",), f"missing; step '{step}' computes it, for example `loss: mse`."
    if settings.metrics and not facts.takes_metrics:
        yield ("metrics",), f"step '{step}' takes no metrics: it keeps its own; remove the key."
    names = [metric.name for metric in settings.metrics]
    for index, name in enumerate(names):
        if name in names[:index] or name == "loss":
            yield (
                ("metrics", index),
                f"'{name}' is logged already; metrics need names of their own.",
            )


def _optimizers(settings: Settings, catalogue: Catalogue, facts: StepFacts) -> Found:
    parts: dict[Path, Part] = {("optimizers", n): p for n, p in settings.optimizers.items()}
    if settings.optimizer is not None:
        parts[("optimizer",)] = settings.optimizer
    for index, callback in enumerate(settings.callbacks):
        cls = keras_parts.class_name("callback", callback.name)
        if cls in NEED_ONE_OPTIMIZER and len(parts) > 1:
            yield (
                ("callbacks", index),
                f"{cls} works with one optimizer; this step has {len(parts)}.",
            )
        scheduled = [p for p, part in parts.items() if _has_schedule(part)]
        if cls in NEED_ONE_OPTIMIZER and scheduled:
            text = (
                "changes the learning rate, which a schedule decides here; remove one of the two."
            )
            yield ("callbacks", index), f"{cls} {text}"
    if settings.execution.precision == "mixed_float16" and not facts.scales_loss:
        text = "float16 needs a scaled loss: let the step call self.minimize(loss, tape, network),"
        yield ("execution", "precision"), f"{text} or write mixed_bfloat16."


def _has_schedule(part: Part) -> bool:
    return isinstance(part.options.get("learning_rate"), Part)


def _monitors(
    settings: Settings, catalogue: Catalogue, facts: StepFacts, wrong: set[str | int]
) -> Found:
    if wrong & {"metrics", "step"}:
        return
    train, test = logged(settings, facts)
    if train is None or test is None:
        return
    seen = [*sorted(train), *(f"val_{name}" for name in sorted(test))]
    tested = [*seen, *(f"test_{name}" for name in sorted(test))]
    for path, name, mode in _watched(settings, catalogue):
        if name not in seen:
            yield path, _not_logged(name, seen)
        elif mode is None and direction(name) is None:
            yield path, f"say whether less or more of '{name}' is better: add `mode: min` or `max`."
    for name in settings.expect:
        if name not in tested:
            yield ("expect", name), _not_logged(name, tested)


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


def _not_logged(name: str, seen: list[str]) -> str:
    return f"'{name}' is not logged; logged are {listed(seen)}.{nearest(name, seen)}"
