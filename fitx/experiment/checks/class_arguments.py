"""Checks what the constructor and the `compile` of a keras.Model class get from an experiment."""

from __future__ import annotations

from collections.abc import Iterable

from fitx.experiment.problems import Findings, closest, listed, nearest
from fitx.experiment.schema import Settings
from fitx.registry.kinds import FILLED_BY_FITX
from fitx.registry.model_classes import MODEL
from fitx.registry.signature import Signature

_SHORT_KEYS = ("optimizer", "loss", "metrics", "weighted_metrics")
"""Top-level keys that are arguments of `compile` too."""


def find_needless_compile(settings: Settings, signature: Signature) -> Findings:
    """Yield the section `compile` for a step that fitx compiles itself."""
    if settings.compile or "compile" in settings.model_fields_set:
        text = f"step '{signature.name}' has no compile of its own; write `optimizer:`, `loss:` and"
        yield ("compile",), f"{text} `metrics:`."


def find_argument_problems(
    settings: Settings,
    signature: Signature,
    arguments: Signature | None,
    wrong_keys: set[str],
) -> Findings:
    """Yield networks and settings that the constructor does not take, or that are missing.

    Args:
        settings: The settings, without values that are wrong.
        signature: The signature of the class; its parameters are networks or settings.
        arguments: The signature of its `compile`.
        wrong_keys: Top-level keys that have a problem already.
    """
    yield from _networks(settings, signature, wrong_keys)
    if not wrong_keys & {"model", "networks", "step"}:
        yield from _missing(settings, signature)
    if arguments is not None:
        yield from _compile(settings, arguments, wrong_keys)


def _networks(settings: Settings, signature: Signature, wrong_keys: set[str]) -> Findings:
    names = [p.name for p in signature.parameters]
    step, given = f"step '{signature.name}'", {} if settings.step is None else settings.step.options
    if settings.model is not None and MODEL not in names and not signature.takes_model:
        yield ("model",), f"{step} takes no network 'model'; {_instead(names)}"
    for name in settings.networks:
        if name == MODEL and signature.takes_model:
            continue
        if name not in names:
            hint = nearest(name, names)
            yield ("networks", name), f"{step} takes no '{name}'; it takes {listed(names)}.{hint}"
        elif name in given:
            yield ("networks", name), "is given as an option of the step too; remove one."
    for name in settings.optimizers if "optimizers" not in wrong_keys else ():
        text = f"{step} is compiled as in Keras; write `optimizer:`, or the arguments of its own"
        yield ("optimizers", name), f"{text} `compile` under `compile:`."


def _instead(names: list[str]) -> str:
    if not names:
        return "it makes its networks itself; remove the key."
    return f"a network of its parameters, {listed(names)}, goes under `networks:`."


def _missing(settings: Settings, signature: Signature) -> Findings:
    step = f"step '{signature.name}'"
    given = {*(settings.step.options if settings.step else ()), *settings.networks}
    given |= FILLED_BY_FITX["step"] | ({MODEL} if settings.model is not None else set())
    if signature.needs_model and MODEL not in given:
        text = f"missing; {step} is made from the inputs and outputs of a network, for example"
        yield (MODEL,), f"{text} `model: mlp`."
    for parameter in signature.parameters:
        # A name that is almost right is reported where it is written.
        is_misspelt = closest(parameter.name, settings.networks) is not None
        if parameter.required and parameter.name not in given and not is_misspelt:
            text = f"missing; {step} needs it: set it, or name a network for it under `networks:`."
            yield ("step", parameter.name), text


def _compile(settings: Settings, arguments: Signature, wrong_keys: set[str]) -> Findings:
    names, title = [p.name for p in arguments.parameters], arguments.title
    given = {key for key in _SHORT_KEYS if getattr(settings, key)}
    for key in sorted(given):
        if key not in names:
            text = f"{title} takes no '{key}'; it takes {listed(names)}: write these under"
            yield (key,), f"{text} `compile:`."
        elif key in settings.compile:
            yield ("compile", key), "is given at the top level too; remove one."
    for name in _absent(arguments, {*given, *settings.compile}, wrong_keys):
        yield ("compile", name), f"missing; {title} needs it."


def _absent(arguments: Signature, given: Iterable[str], wrong_keys: set[str]) -> list[str]:
    filled = {*given, *wrong_keys, *FILLED_BY_FITX["step"]}
    if "compile" in wrong_keys:
        return []
    return [p.name for p in arguments.parameters if p.required and p.name not in filled]
