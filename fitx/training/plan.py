"""Describes a run in the plan that a display shows before the first step."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import keras

from fitx.build.built import BuiltExperiment
from fitx.build.preflight.last_layer import last_activation
from fitx.engine.replicas.replica_variables import copy_ids
from fitx.engine.step_graph import assigned_variables
from fitx.experiment.experiment import Experiment
from fitx.registry.kinds import Part
from fitx.runtime import Runtime
from fitx.training.display_interface import Plan
from fitx.training.result import relative_to_cwd


def make_plan(built: BuiltExperiment, run: Path, device: Runtime) -> Plan:
    """Return the plan of a training."""
    rows, execution = len(built.data.splits["train"]), built.step.execution.plan
    counts = [f"{len(s.splits['train']):,} {name}" for name, s in built.data.streams.items()]
    data = (
        f"{' and '.join(counts) or f'{rows:,}'} examples, {built.steps_per_epoch:,} steps an epoch"
    )
    if built.unmeasured:
        data += f"; without a test_step nothing measures {' and '.join(built.unmeasured)}"
    return Plan(
        title=built.experiment.name,
        run=str(relative_to_cwd(run)),
        device=device.description,
        epochs=built.experiment.fit.epochs,
        steps=built.steps_per_epoch,
        summary=parts_line(built, data),
        mode=f"{execution.modes['train'].name}: {execution.reasons.get('train', '')}",
    )


def parts_line(built: BuiltExperiment, data: str) -> str:
    """Return one line on the step, its networks, the optimizers and the given text on the data."""
    experiment = built.experiment
    descriptions = [
        f"{name}{_model_name(experiment, name)}{_head(experiment, name, network)}, "
        f"{network.count_params():,} parameters{_untrained(built, name)}"
        for name, network in built.step.execution.contents.networks.items()
    ]
    own = own_variables(built.step)
    if own:
        count = sum(int(math.prod(variable.shape)) for variable in own)
        descriptions.append(f"{count:,} parameters of its own")
    arguments = [*experiment.optimizers.values(), *experiment.compile.values()]
    optimizers = (p.name for p in arguments if isinstance(p, Part) and p.kind == "optimizer")
    parts = [", ".join(descriptions), ", ".join(dict.fromkeys(optimizers)), data]
    return f"{experiment.step.name}: {'; '.join(filter(None, parts))}"


def own_variables(step: keras.Model) -> list[Any]:
    """Return the trainable variables of a step that belong to none of its networks."""
    networks = step.execution.contents.networks.values()
    of_networks = {id(variable) for network in networks for variable in network.variables}
    return [v for v in step.trainable_variables if id(v) not in of_networks]


def _untrained(built: BuiltExperiment, name: str) -> str:
    """Return why no optimizer changes a network; empty if one does."""
    execution = built.step.execution
    contents, graphs = execution.contents, execution.graphs("train")
    if not contents.optimizers or not graphs:
        return ""
    optimized = {id(v) for variables in contents.optimized.values() for v in variables}
    weights = contents.networks[name].weights
    trained = [v for v in weights if id(v) in optimized]
    assigned = {id(v) for graph in graphs for v in assigned_variables(graph)}
    is_changed = bool(assigned & copy_ids(trained or weights))
    if trained:
        return "" if is_changed else ", never updated by train_step"
    return ", without an optimizer" if is_changed else ", frozen"


def _model_name(experiment: Experiment, network: str) -> str:
    """Return the name of a network's model; nothing for a network that the step makes itself."""
    part = experiment.networks.get(network)
    return f" {part.name}" if part is not None else ""


def _head(experiment: Experiment, name: str, network: keras.Model) -> str:
    """Return the outputs of a network whose model can take them from the loss and the labels."""
    part = experiment.networks.get(name)
    if part is None:
        return ""
    signature = experiment.part_index.signature(part.kind, part.name)
    if signature is None or not (signature.get("outputs") or signature.get("output_activation")):
        return ""
    # A subclassed network has no output shape; one with several outputs has several.
    shape = getattr(network, "output_shape", None)
    if not isinstance(shape, tuple) or not isinstance(shape[-1], int):
        return ""
    outputs, activation = shape[-1], last_activation(network)
    kind = f"{activation} " if activation else ""
    return f", {outputs} {kind}output{'' if outputs == 1 else 's'}"
