"""Builds the data, the networks, the step and the optimizers of an experiment.

Parts are made in a fixed order (data, networks in the order of the step's parameters, step,
optimizers), so the seed gives the same initial weights whatever the order of the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import keras

from fitx.build import plugin_checks
from fitx.build.built import BuiltExperiment
from fitx.build.callback_parts import check_callbacks
from fitx.build.error_attribution import attribute_errors
from fitx.build.make_data import check_shares, make_data
from fitx.build.make_parts import call_part
from fitx.build.make_step import compile_step, make_step
from fitx.build.preflight import trace_and_check
from fitx.build.step_class_checks import check_step_class
from fitx.build.trained_weights import (
    InitialWeights,
    assign_initial_weights,
    read_initial_weights,
)
from fitx.build.values_from_data import refuse_structures, values_from_data
from fitx.compat import layer_names
from fitx.data.prepare import Data
from fitx.data.splits import rows_text
from fitx.experiment.experiment import Experiment
from fitx.runtime import Runtime
from fitx.stages import Stage


def make(experiment: Experiment, device: Runtime | None = None) -> BuiltExperiment:
    """Build the data, networks, step and optimizers of an experiment.

    Args:
        experiment: The checked experiment.
        device: What computes; None for one device.

    Raises:
        DataError: The data is invalid, or does not fit the networks or the loss.
        ConfigError: A part rejects the values of its options.
        DeviceError: A callback needs a package that is not installed.
        UserCodeError: A plugin raised an error, or returned an object of the wrong kind.
    """
    check_step_class(experiment)
    data = make_data(experiment)
    steps = experiment.fit.steps_per_epoch or data.steps("train")
    check_shares(experiment, data, device.replicas if device else 1)
    scope = device.scope if device else nullcontext
    initial = read_initial_weights(experiment)
    with Stage("building the networks"), scope():
        networks = make_networks(experiment, data, initial)
        step = make_step(experiment, networks, steps)
    step.execution.count_rows_of(data.name)
    origins = {name: replace(weights, arrays={}) for name, weights in initial.items()}
    built = BuiltExperiment(experiment, step, data, steps, initial_weights=origins)
    with scope():
        compile_step(built)
    if not plugin_checks.measures(experiment, step):
        if not experiment.trains:
            plugin_checks.require_evaluation(experiment, step)
        unmeasured = tuple(name for name in data.splits if name != "train")
        data = replace(data, splits={"train": data.splits["train"]})
        built = replace(built, data=data, unmeasured=unmeasured)
    with Stage(f"comparing {rows_text(data.splits)} with the networks"):
        trace_and_check.check(built)
    check_callbacks(experiment)
    return built


def make_networks(
    experiment: Experiment, data: Data, initial: Mapping[str, InitialWeights] | None = None
) -> dict[str, keras.Model]:
    """Build the networks in the order in which the step names them, and then the copies.

    Args:
        experiment: The experiment.
        data: Its data, which gives the shapes.
        initial: Weights of other runs by network; all other weights are random.
    """
    signature = experiment.part_index.signature("step", experiment.step.name)
    names = signature.network_names(experiment.networks) if signature else ()
    parts = {name: experiment.networks[name] for name in names if name in experiment.networks}
    values_from_fitx = {**values_from_data(experiment, data.splits), "seed": experiment.seed}
    in_order = sorted(parts, key=lambda name: name in experiment.copies)
    initial = initial or {}
    with_weights = {*initial, *experiment.copies, *experiment.copies.values()}
    networks = {
        name: _network(experiment, name, values_from_fitx, has_weights=name in with_weights)
        for name in in_order
    }
    for name, weights in initial.items():
        assign_initial_weights(experiment, name, networks[name], weights)
    for copy, name in experiment.copies.items():
        # A step that replaces that of the experiment may have only the copy.
        if name in networks and copy not in initial:
            with attribute_errors(experiment, ("networks", copy)):
                networks[copy].set_weights(networks[name].get_weights())
        networks[copy].trainable = False
    return {name: networks[name] for name in parts}


def _network(
    experiment: Experiment, name: str, values_from_fitx: dict[str, Any], *, has_weights: bool
) -> keras.Model:
    part = experiment.networks[name]
    # Checkpoints identify variables by layer names, which must not depend on other networks of
    # the process.
    layer_names.number_anew()
    signature = experiment.part_index.signature("step", experiment.step.name)
    is_built = has_weights or signature is None or not signature.is_model_class
    refuse_structures(experiment, part, ("networks", name), values_from_fitx)
    network = call_part(experiment, part, ("networks", name), values_from_fitx)
    return plugin_checks.network(part, network, is_built=is_built)
