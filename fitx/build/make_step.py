"""Constructs and compiles the step of an experiment: a `Step`, or a keras.Model as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from fitx.build import plugin_checks
from fitx.build.built import BuiltExperiment
from fitx.build.error_attribution import attribute_errors, first_sentence
from fitx.build.make_parts import call_part, make_value
from fitx.build.metric_variables import make_variables
from fitx.compat import layer_names, legacy_names
from fitx.compat.loss_scale import scaled
from fitx.engine import model_steps
from fitx.engine.step_runner import Builder
from fitx.experiment.experiment import Experiment
from fitx.registry.kinds import SHARED_OPTIMIZER
from fitx.registry.model_classes import MODEL, NETWORK_PARTS

Networks = Mapping[str, keras.Model]


def make_step(experiment: Experiment, networks: Networks, steps_per_epoch: int) -> Any:
    """Construct the step around its networks.

    Args:
        experiment: The experiment.
        networks: The networks of the experiment.
        steps_per_epoch: Training steps an epoch.
    """
    numbers = _numbers(experiment, steps_per_epoch)
    signature = experiment.part_index.signature("step", experiment.step.name)
    if signature is None or not signature.is_model_class:
        step = call_part(experiment, experiment.step, ("step",), {**networks, **numbers})
        return plugin_checks.step(experiment.step, step, networks)
    legacy_names.provide()
    # Checkpoints identify the variables of its own layers by layer names.
    layer_names.number_anew()
    ends: dict[str, Any] = {}
    if signature.takes_model and MODEL in networks:
        ends = _inputs_and_outputs(experiment, networks[MODEL])
    values = {**_in_lists(networks), **numbers}
    model = call_part(experiment, experiment.step, ("step",), values, **ends)
    plugin_checks.model_step(experiment.step, model)
    try:
        return model_steps.adopt(model, networks)
    except TypeError as error:
        text = f"cannot be trained as it is: {first_sentence(error)}"
        raise experiment.error(("step",), text) from error


def _in_lists(networks: Networks) -> dict[str, Any]:
    """Return the networks by the parameters that take them: one network, or a list of them."""
    values: dict[str, Any] = {}
    for name, network in networks.items():
        parameter, in_list, _ = name.partition("/")
        if in_list:
            values.setdefault(parameter, []).append(network)
        else:
            values[parameter] = network
    return values


def _numbers(experiment: Experiment, steps_per_epoch: int) -> dict[str, Any]:
    """Return values that a constructor or a `compile` gets if it has a parameter of that name."""
    total_steps = steps_per_epoch * experiment.fit.epochs
    steps = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
    return {"seed": experiment.seed, **steps}


def _inputs_and_outputs(experiment: Experiment, network: keras.Model) -> dict[str, Any]:
    """Return what a class is made from that has no constructor of its own."""
    inputs, outputs = (getattr(network, name, None) for name in NETWORK_PARTS)
    if not inputs or not outputs:
        name = experiment.networks[MODEL].name
        text = f"'{name}' is no functional model, from whose inputs and outputs a step is made; "
        text += f"let the step take it: `def __init__(self, {MODEL})`."
        raise experiment.error(("networks", MODEL), text)
    if isinstance(network, keras.Sequential):
        return {"inputs": inputs[0], "outputs": outputs[0]}
    # These keep the structure of several inputs and outputs.
    return {"inputs": network.input, "outputs": network.output}


def compile_step(built: BuiltExperiment) -> None:
    """Make optimizers, loss and metrics and compile the step with them."""
    experiment, step, total = built.experiment, built.step, built.total_steps
    optimizers = make_value(experiment, experiment.optimizers, ("optimizers",), total)
    loss = make_value(experiment, experiment.loss, ("loss",))
    metrics, weighted = (
        make_value(experiment, getattr(experiment, key), (key,)) or None
        for key in ("metrics", "weighted_metrics")
    )
    arguments = {"loss": loss, "metrics": metrics, "weighted_metrics": weighted}
    if experiment.loss_weights is not None:
        arguments["loss_weights"] = experiment.loss_weights
    if step.execution.builder is not None:
        own = make_value(experiment, experiment.compile, ("compile",), total)
        given = {SHARED_OPTIMIZER: optimizers.get(SHARED_OPTIMIZER), **arguments}
        given = {name: value for name, value in given.items() if value is not None}
        _compile_model(built, step.execution.builder, {**given, **own})
        return
    with attribute_errors(experiment, ("step",)):
        step.compile(optimizers, **arguments)
    if step.execution.strategy is not None:
        make_variables(built, keras.tree.flatten([metrics or [], weighted or []]))


def _compile_model(built: BuiltExperiment, builder: Builder, arguments: dict[str, Any]) -> None:
    """Call the `compile` of a model with what the experiment gives."""
    experiment, step = built.experiment, built.step
    signature = experiment.part_index.compile_signature(experiment.step.name)
    names = [p.name for p in signature.parameters] if signature is not None else []
    numbers = _numbers(experiment, built.steps_per_epoch)
    arguments = {**{n: v for n, v in numbers.items() if n in names}, **arguments}
    if type(step).compile is keras.Model.compile:
        # Keras' own default is a new RMSprop, which would train what nobody asked it to.
        optimizer = arguments.get(SHARED_OPTIMIZER)
        arguments[SHARED_OPTIMIZER] = None if optimizer is None else scaled(optimizer, step)
    with attribute_errors(experiment, ("compile",)):
        step.compile(**arguments)
    if not step.compiled:
        name = f"{type(step).__name__}.compile"
        raise experiment.error(("step",), f"{name} does not call super().compile(): add the call.")
    step.execution.usage.loss = False
    step.execution.discard_graphs(step)
    builder.find_contents()
