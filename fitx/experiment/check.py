"""Checks an experiment file and finds all of its problems, without importing TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fitx import redaction
from fitx.errors import UsageError
from fitx.experiment import plugin_import, plugins
from fitx.experiment.checks import networks
from fitx.experiment.checks.consistency import find_inconsistencies
from fitx.experiment.checks.paths import with_absolute_paths
from fitx.experiment.checks.validation import validate
from fitx.experiment.experiment import Experiment
from fitx.experiment.not_secret import names_and_numbers
from fitx.experiment.problems import ConfigError, Problem, listed, nearest
from fitx.experiment.schema import LATEST, Settings
from fitx.experiment.yaml.load import Document, load
from fitx.registry.kinds import FILLED_BY_FITX, Part
from fitx.registry.model_classes import MODEL
from fitx.registry.part_index import PartIndex
from fitx.registry.signature import Signature


def read(name: str, words: Sequence[str] = (), *, own_step: bool = True) -> Experiment:
    """Load and check an experiment.

    Args:
        name: A path, or the name of a shipped experiment.
        words: Overrides from the command line.
        own_step: As for `check`.

    Raises:
        ConfigError: With all problems of the experiment.
    """
    return check(load(name, words), own_step=own_step)


def check(document: Document, *, own_step: bool = True) -> Experiment:
    """Check a document against the schema and the signatures of its parts.

    Plugins are imported at the end, and only if there are no problems.

    Args:
        document: The document to check.
        own_step: The step of the experiment runs. Otherwise `use_step` replaces it, and a loss or
            metrics that it does not take are no problem.

    Raises:
        ConfigError: With all problems of the experiment.
    """
    experiment = check_unimported(document, own_step=own_step)
    plugin_import.load(experiment)
    return experiment


def check_unimported(document: Document, *, own_step: bool = True) -> Experiment:
    """Check a document as `check` does, but import no plugin. Raises ConfigError."""
    part_index = PartIndex()
    problems = [*document.problems, *plugins.read(document, part_index)]
    settings, wrong_values = validate(document, part_index, problems)
    wrong_keys = {str(p.path[0]) for p in (*problems, *wrong_values) if p.path}
    problems += [problem for problem in wrong_values if problem.text]
    problems += find_inconsistencies(settings, document, part_index, wrong_keys, own_step=own_step)
    if problems:
        raise ConfigError(problems, _hint(settings, problems, part_index))
    redaction.publish(names_and_numbers(settings, document.tree))
    return _experiment(with_absolute_paths(settings, document, part_index), document, part_index)


def _hint(settings: Settings, problems: list[Problem], part_index: PartIndex) -> str:
    """Return a hint to `fitx show`, if a problem is about what the step takes."""
    name = settings.step.name if settings.step is not None else ""
    others = [p for p in problems if p.path and not p.text.startswith("missing")]
    is_about_step = any(p.path[0] == "step" or f"step '{name}'" in p.text for p in others)
    plugin = part_index.plugin_with("step", name)
    shown = name if plugin is None else plugins.relative_name(plugin)
    return f"`fitx show {shown}` prints what the step takes." if name and is_about_step else ""


def _experiment(settings: Settings, document: Document, part_index: PartIndex) -> Experiment:
    # An experiment without a step or data has been refused before.
    step: Any = settings.step
    data: Any = settings.data
    return Experiment(
        name=settings.name or _run_name(document.path.stem),
        seed=settings.seed,
        step=step,
        networks=networks.networks(settings, part_index),
        copies=networks.copies(settings),
        optimizers=networks.optimizers(settings, part_index),
        after=settings.after,
        loss=settings.loss,
        loss_weights=settings.loss_weights,
        metrics=settings.metrics,
        weighted_metrics=settings.weighted_metrics,
        compile=settings.compile,
        data=data,
        fit=settings.fit,
        callbacks=settings.callbacks,
        checkpoint=settings.checkpoint,
        execution=settings.execution,
        expect=settings.expect,
        plugins=tuple(part_index.plugins),
        step_facts=part_index.step_facts(step.name),
        document=document,
        part_index=part_index,
    )


def _run_name(stem: str) -> str:
    """Return the stem of a file as the name of runs, with '-' for characters not allowed there."""
    name = re.sub("[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:100]
    return name if name not in ("", LATEST) else "experiment"


def use_step(experiment: Experiment, name: str) -> Experiment:
    """Return the experiment with another step, to evaluate the same networks by its `test_step`.

    Raises:
        UsageError: There is no such step, or it does not work with these networks.
    """
    part_index = experiment.part_index
    signature, facts = part_index.signature("step", name), part_index.step_facts(name)
    if signature is None:
        raise UsageError(f"no step is called '{name}'.{nearest(name, part_index.names('step'))}")
    kept_networks = _networks_for(signature, experiment)
    # What a step of a plugin uses is known only when it is traced.
    uses = facts.uses if facts is not None else {"loss", "metrics"}
    if facts is not None and "loss" in uses and experiment.loss is None:
        raise UsageError(f"step '{name}' needs a loss; add for example loss=mse.")
    loss = experiment.loss if "loss" in uses else None
    copies = {k: v for k, v in experiment.copies.items() if k in kept_networks}
    weights = experiment.loss_weights if loss is not None else None
    changed = replace(
        experiment,
        networks=kept_networks,
        copies=copies,
        loss=loss,
        loss_weights=weights,
        compile={},
    )
    if "metrics" not in uses:
        changed = replace(changed, metrics=[], weighted_metrics=[])
    return replace(changed, step=Part("step", name), step_facts=facts, trained_as=experiment)


def _networks_for(signature: Signature, experiment: Experiment) -> dict[str, Part]:
    """Return those networks of an experiment that another step takes.

    Raises:
        UsageError: The step needs another network, or a setting.
    """
    names, networks = signature.network_names(experiment.networks), experiment.networks
    if signature.is_model_class:
        names = tuple(
            n for n in names if signature.get(n) or (n == MODEL and signature.takes_model)
        )
    required = {p.name for p in signature.parameters if p.required} - FILLED_BY_FITX["step"]
    required |= {MODEL} if signature.needs_model else set()
    step = f"step '{signature.name}'"
    for name in sorted(required - networks.keys()):
        if name in names or signature.is_model_class:
            text = f"{step} needs the network '{name}'; this experiment has "
            raise UsageError(f"{text}{listed(list(networks))}.")
        raise UsageError(f"{step} needs '{name}'; set it with step=... instead.")
    return {name: networks[name] for name in names if name in required or signature.is_model_class}
