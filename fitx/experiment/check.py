"""Document to Experiment: every problem found in one pass, nothing built, TensorFlow not needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from fitx.errors import UsageError
from fitx.experiment import agree, plugins
from fitx.experiment.experiment import Experiment
from fitx.experiment.explain import explain
from fitx.experiment.load import Document, load
from fitx.experiment.options import OptionCheck
from fitx.experiment.problems import ConfigError, Problem, listed, nearest
from fitx.experiment.schema import Settings
from fitx.experiment.tree import Node, Path
from fitx.registry.annotations import PATH
from fitx.registry.catalogue import Catalogue
from fitx.registry.kinds import FED, Part


def read(name: str, words: Sequence[str] = ()) -> Experiment:
    """Load and check an experiment: what every command does with the file it is given.

    Args:
        name: A path, or the name of a shipped experiment.
        words: Overrides from the command line.

    Raises:
        ConfigError: With every problem there is.
    """
    return check(load(name, words))


def check(document: Document) -> Experiment:
    """Check a document against the language, its parts and each other. Raises ConfigError.

    Plugins are imported last, and only if there is nothing else to mend.
    """
    catalogue = Catalogue()
    problems = plugins.read(document, catalogue)
    settings, found = _validated(document, catalogue)
    problems += found
    problems += agree.problems(settings, document, catalogue, {p.path for p in problems})
    if problems:
        raise ConfigError(problems, _hint(settings, problems))
    experiment = _experiment(settings, document, catalogue)
    plugins.load(experiment)
    return experiment


def _validated(document: Document, catalogue: Catalogue) -> tuple[Settings, list[Problem]]:
    """Validate the tree; what is wrong is noted and left out, so that the rest is checked too."""
    context = {"check": OptionCheck(catalogue)}
    tree = document.tree
    problems: list[Problem] = []
    while True:
        try:
            return Settings.model_validate(tree.plain(), context=context), problems
        except ValidationError as error:
            found = explain(error, replace(document, tree=tree), catalogue)
            problems += found
            for problem in found:
                tree = _without(tree, problem.path)


def _without(node: Node, path: Path) -> Node:
    """Return the tree without what stands at `path`; of a list or a part, without the whole."""
    step, rest = path[0], path[1:]
    if not isinstance(node.value, dict):
        return replace(node, value=[])
    values = dict(node.value)
    child = values.get(str(step))
    is_section = child is not None and isinstance(child.value, dict) and "name" not in child.value
    if rest and child is not None and is_section and len(rest) == 1:
        values[str(step)] = _without(child, rest)
    elif rest and child is not None and step in ("networks", "optimizers"):
        values[str(step)] = _without(child, rest[:1])
    else:
        values.pop(str(step), None)
    return replace(node, value=values)


def _hint(settings: Settings, problems: list[Problem]) -> str:
    about_parts = any("takes no" in p.text or "has no network" in p.text for p in problems)
    if not about_parts or settings.step is None:
        return ""
    return f"`fitx show {settings.step.name}` prints what the step takes."


def _experiment(settings: Settings, document: Document, catalogue: Catalogue) -> Experiment:
    step: Any = settings.step
    data: Any = settings.data
    facts = catalogue.step(step.name)
    if facts is None:  # agree.problems has refused this already.
        raise LookupError(step.name)
    return Experiment(
        name=settings.name or document.path.stem,
        seed=settings.seed,
        step=step,
        networks=agree.networks(settings, catalogue),
        optimizers=agree.optimizers(settings, catalogue),
        loss=settings.loss,
        metrics=settings.metrics,
        data=_with_paths(data, document, catalogue),
        fit=settings.fit,
        callbacks=settings.callbacks,
        checkpoint=settings.checkpoint,
        execution=settings.execution,
        expect=settings.expect,
        plugins=tuple(catalogue.plugins),
        facts=facts,
        document=document,
        catalogue=catalogue,
    )


def _with_paths(part: Part, document: Document, catalogue: Catalogue) -> Part:
    """Return the data part with its paths absolute; each starts at the file that holds it."""
    signature = catalogue.signature(part.kind, part.name)
    options = dict(part.options)
    for name, value in options.items():
        parameter = signature.get(name) if signature else None
        node = document.tree.at(("data", name))
        if parameter is not None and parameter.type is PATH and node is not None:
            options[name] = node.place.source.folder.resolve() / FilePath(value).expanduser()
    return replace(part, options=options)


def use_step(experiment: Experiment, name: str) -> Experiment:
    """Return the experiment measured by another step's `test_step`, on the same networks.

    Raises:
        UsageError: There is no such step, or it does not work on these networks.
    """
    catalogue = experiment.catalogue
    signature, facts = catalogue.signature("step", name), catalogue.step(name)
    if signature is None or facts is None:
        raise UsageError(f"no step is called '{name}'.{nearest(name, catalogue.names('step'))}")
    networks = [p.name for p in signature.positional if p.required]
    missing = [network for network in networks if network not in experiment.networks]
    if missing:
        text = f"step '{name}' needs the network '{missing[0]}'; this experiment has "
        raise UsageError(f"{text}{listed(list(experiment.networks))}.")
    settings = [p.name for p in signature.options if p.required and p.name not in FED["step"]]
    if settings:
        raise UsageError(f"step '{name}' needs '{settings[0]}'; set it with step=... instead.")
    if facts.takes_loss and experiment.loss is None:
        raise UsageError(f"step '{name}' needs a loss; add for example loss=mse.")
    kept = {network: experiment.networks[network] for network in networks}
    loss = experiment.loss if facts.takes_loss else None
    metrics = experiment.metrics if facts.takes_metrics else []
    changed = replace(experiment, networks=kept, loss=loss, metrics=metrics)
    return replace(changed, step=Part("step", name), facts=facts)
