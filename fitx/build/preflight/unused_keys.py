"""Finds keys of an experiment that have no effect on its traced step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from fitx.build import plugin_checks
from fitx.build.built import BuiltExperiment
from fitx.data.batch_layout import evaluation_layout
from fitx.engine.replicas import replica_variables
from fitx.engine.step_graph import assigned_variables, captured_variables
from fitx.experiment.checks.consistency import unused
from fitx.experiment.output_parts import is_logged_as, parts_by_key
from fitx.experiment.problems import Problem
from fitx.registry.kinds import Part


def problems(built: BuiltExperiment) -> Iterator[Problem]:
    """Yield a problem for every key without effect on the traced step, with the remedy."""
    measures = plugin_checks.measures(built.experiment, built.step)
    if built.experiment.fit.epochs:
        if measures and any(_loss_and_metrics(built)):
            _trace_test_step(built)
        yield from _loss_and_metrics(built)
    yield from _scales(built)
    if built.step.execution.builder is None:
        yield from _untrained_variables(built)
    # A smoke run evaluates two batches, whatever the options say.
    if not built.experiment.is_smoke:
        yield from _validation(built) if not measures else _limits(built)


def _loss_and_metrics(built: BuiltExperiment) -> Iterator[Problem]:
    experiment, usage = built.experiment, built.step.execution.usage
    name = experiment.step.name
    logged_metric_names = {name for log in built.step.execution.logs.values() for name in log.fed}
    if experiment.loss is not None and not usage.loss:
        yield experiment.problem(("loss",), unused("loss", name))
    if usage.metrics:
        return
    for key in ("metrics", "weighted_metrics"):
        parts = list(parts_by_key(getattr(experiment, key), (key,)))
        idle = [path for path, p in parts if not is_logged_as(p, path, logged_metric_names)]
        if parts and len(idle) == len(parts):
            yield experiment.problem((key,), unused("metrics", name))
            continue
        for path in idle:
            text = f"step '{name}' does not update it; remove it, or update it in the step."
            yield experiment.problem(path, text)


def _trace_test_step(built: BuiltExperiment) -> None:
    """Trace `test_step` to see what it uses, even if no split is to be evaluated."""
    if not built.step.execution.logs["test"].names:
        batches = evaluation_layout(built.data, "train")
        # It is not going to run: what it cannot do is no problem here.
        with suppress(Exception):
            built.step.execution.trace("test", batches.spec, batches.full_rows)


def _scales(built: BuiltExperiment) -> Iterator[Problem]:
    """Find optimizers that divide gradients by a loss scale that the step does not apply."""
    experiment, usage = built.experiment, built.step.execution.usage
    unscaled = sorted(usage.applied - usage.scaled)
    remedy = "let the step call self.minimize(loss, tape, network)"
    if built.step.execution.builder is not None:
        remedy = "multiply the loss by self.optimizer.scale_loss(loss) inside the tape"
    if unscaled and experiment.execution.precision == "mixed_float16":
        text = f"float16 needs a scaled loss: {remedy}, or write mixed_bfloat16."
        yield experiment.problem(("execution", "precision"), text)
        return
    for name in unscaled:
        part = {**experiment.optimizers, **experiment.compile}.get(name)
        if isinstance(part, Part) and part.options.get("loss_scale_factor") is not None:
            text = f"the optimizer divides by it, and the step does not multiply: {remedy}."
            key = "optimizers" if name in experiment.optimizers else "compile"
            yield experiment.problem((key, name, "loss_scale_factor"), text)


def _limits(built: BuiltExperiment) -> Iterator[Problem]:
    """Find options of a validation that does not exist or has fewer batches."""
    fit, splits = built.experiment.fit, built.data.splits
    has_validation = "validation" in splits
    batches = built.data.steps("validation") if has_validation else 0
    absent = "has no effect: there is no validation; set data.validation_split, or remove the key."
    if fit.validation_freq != 1 and not has_validation:
        yield built.experiment.problem(("fit", "validation_freq"), absent)
    if (fit.validation_steps or 0) > batches:
        text = f"is {fit.validation_steps}, and a validation has {batches} batches; remove the key."
        at = ("fit", "validation_steps")
        yield built.experiment.problem(at, text if has_validation else absent)


def _untrained_variables(built: BuiltExperiment) -> Iterator[Problem]:
    """Find trainable variables of the step itself that no optimizer trains.

    With several optimizers, none trains the step's own layers; a single optimizer does not train
    layers that are built after it.
    """
    step, graphs = built.step, built.step.execution.graphs("train")
    contents = step.execution.contents
    owned = [v for own in contents.optimized.values() for v in own]
    known = {id(v) for v in (*owned, *(v for n in contents.networks.values() for v in n.variables))}
    assigned = {id(v) for graph in graphs for v in assigned_variables(graph)}
    read = {id(v) for v in captured_variables(graphs)} - assigned
    own = [v for v in step.trainable_variables if id(v) not in known]
    idle = [v.path for v in own if read & replica_variables.copy_ids([v])]
    if not idle or not built.experiment.optimizers:
        return
    remedy = "make its layer a network with an optimizer of its own, write one `optimizer:` for all"
    if len(built.experiment.optimizers) == 1:
        remedy = "build its layer in the step's constructor"
    text = f"step '{built.experiment.step.name}' uses '{idle[0]}' in training, and no optimizer"
    text = f"{text} trains it: {remedy}, or set `trainable = False` on the layer."
    yield built.experiment.problem(("step",), text)


def _validation(built: BuiltExperiment) -> Iterator[Problem]:
    """Find options of a validation that a step without `test_step` and loss cannot run."""
    experiment = built.experiment
    fit = experiment.fit
    text = f"has no effect: step '{experiment.step.name}' has no test_step, so nothing is validated"
    lost = "the rows that it takes from training would be lost; write a test_step, or remove"
    for path, part in experiment.datasets.items():
        if part.options.get("validation_split"):
            key_path = (*path, "validation_split")
            yield experiment.problem(key_path, f"{text} and {lost} the key.")
    for key, is_set in (
        ("validation_freq", fit.validation_freq != 1),
        ("validation_steps", fit.validation_steps is not None),
    ):
        if is_set:
            yield experiment.problem(("fit", key), f"{text}; write a test_step, or remove the key.")
