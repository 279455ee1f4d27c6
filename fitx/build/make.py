"""Experiment to BuiltExperiment: the only place that makes parts.

The order is fixed (data, networks as the step names them, step, optimizers), so that the seed
gives the same initial weights whatever order the experiment file is written in.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras

from fitx.build import plugin_checks
from fitx.build.built import BuiltExperiment
from fitx.build.error_attribution import blamed
from fitx.build.metric_variables import make_variables
from fitx.build.output_layer import head_for
from fitx.build.parts import class_of, make_value
from fitx.build.preflight import agreement
from fitx.build.step_class import check_step_class
from fitx.compat import layer_names
from fitx.data import prepare as preparation
from fitx.data.array_checks import validate
from fitx.data.data_signature import facts
from fitx.data.prepare import Data
from fitx.data.splits import rows_text
from fitx.errors import DeviceError, StorageError
from fitx.experiment.checks.callback_files import make_folders, written_below
from fitx.experiment.experiment import Experiment
from fitx.experiment.schema import DataOptions
from fitx.experiment.yaml.tree import KeyPath, dotted
from fitx.registry.kinds import Part
from fitx.registry.registries import REGISTRIES
from fitx.runtime import Runtime
from fitx.stages import Stage
from fitx.step import Step

_BATCH_HOOKS = tuple(
    f"on_{kind}batch_{when}" for kind in ("", "train_", "test_") for when in ("begin", "end")
)
"""The methods that a callback overrides to hear of every batch."""

_BY_BATCH = ("profile_batch", "write_steps_per_second")
"""The options of TensorBoard, besides `update_freq`, that count or time batches."""


def make(experiment: Experiment, device: Runtime | None = None) -> BuiltExperiment:
    """Make the data, networks, step and optimizers of an experiment.

    Args:
        experiment: The checked experiment.
        device: What computes; None for one device.

    Raises:
        DataError: The data cannot be trained on, or does not fit the networks or the loss.
        ConfigError: A part refuses the values of its options.
        DeviceError: A callback needs a package that is not installed.
        UserCodeError: A plugin raised, or made something else than its kind of part.
    """
    check_step_class(experiment)
    data = make_data(experiment)
    steps = experiment.fit.steps_per_epoch or data.steps("train")
    _demand_equal_shares(experiment, data.batch_size, device.replicas if device else 1)
    scope = device.scope if device else nullcontext
    with Stage("building the networks"), scope():
        networks = make_networks(experiment, data)
        step = make_step(experiment, networks)
    unmeasured: tuple[str, ...] = ()
    if not plugin_checks.measures(experiment, step):
        if not experiment.optimizers:
            plugin_checks.demand_evaluation(experiment, step)
        unmeasured = tuple(name for name in data.splits if name != "train")
        data = replace(data, splits={"train": data.splits["train"]})
    built = BuiltExperiment(experiment, step, data, steps, unmeasured)
    with scope():
        compile_step(built)
    with Stage(f"comparing {rows_text(data.splits)} with the networks"):
        agreement.check(built)
    for index, part in enumerate(experiment.callbacks):
        if not _is_own(experiment, part):
            # Refused now, not when the run has a folder; it is made again when that is known.
            _keras_callback(experiment, part, ("callbacks", index))
    return built


def make_data(experiment: Experiment) -> Data:
    """Load the dataset's splits, check every number, and set up batches."""
    part = experiment.data
    shared = {field.name for field in fields(DataOptions)}
    own = {k: v for k, v in part.options.items() if k not in shared}
    options = DataOptions(**{k: v for k, v in part.options.items() if k in shared})
    fed = {"seed": experiment.seed}
    with Stage(f"reading {part.name}"):
        made = _call(experiment, replace(part, options=own), ("data",), fed)
        splits = plugin_checks.splits(part, made)
    source = f"{part.name} '{own['path']}'" if "path" in own else part.name
    with Stage(f"checking {rows_text(splits)}"):
        validate(splits, source)
    with Stage(f"preparing {rows_text(splits)}"):
        return preparation.prepare(splits, options, seed=experiment.seed)


def _demand_equal_shares(experiment: Experiment, batch_size: int, count: int) -> None:
    if batch_size % count:
        fitting = max(batch_size // count, 1) * count
        text = f"{batch_size} examples cannot be shared equally by {count} devices; write"
        text += f" {fitting} or {fitting + count}."
        raise experiment.error(("data", "batch_size"), text)


def make_networks(experiment: Experiment, data: Data) -> dict[str, keras.Model]:
    """Build the networks in the order in which the step names them."""
    signature = experiment.part_index.signature("step", experiment.step.name)
    names = [p.name for p in signature.positional] if signature else []
    parts = {name: experiment.networks[name] for name in names if name in experiment.networks}
    head = head_for(experiment, data.splits)
    end = {"outputs": head.outputs, "output_activation": head.activation}
    fed = {**facts(data.splits), **end, "seed": experiment.seed}
    return {name: _network(experiment, part, name, fed) for name, part in parts.items()}


def _network(experiment: Experiment, part: Part, name: str, fed: dict[str, Any]) -> keras.Model:
    # A checkpoint knows variables by their layers' names: those may not depend on what the
    # process has made before, or on which of its networks a step asks for.
    layer_names.number_anew()
    return plugin_checks.network(part, _call(experiment, part, ("networks", name), fed))


def make_step(experiment: Experiment, networks: dict[str, keras.Model]) -> Step:
    """Construct the step around its networks."""
    fed = {**networks, "seed": experiment.seed}
    step = _call(experiment, experiment.step, ("step",), fed)
    return plugin_checks.step(experiment.step, step, networks)


def compile_step(built: BuiltExperiment) -> None:
    """Make optimizers, loss and metrics and attach them to the step."""
    experiment, total = built.experiment, built.total_steps
    optimizers = make_value(experiment, experiment.optimizers, ("optimizers",), total)
    loss = make_value(experiment, experiment.loss, ("loss",))
    metrics, weighted = (
        make_value(experiment, getattr(experiment, key), (key,)) or None
        for key in ("metrics", "weighted_metrics")
    )
    with blamed(experiment, ("step",)):
        built.step.compile(optimizers, loss=loss, metrics=metrics, weighted_metrics=weighted)
    if built.step.execution.strategy is not None:
        make_variables(built, [*(metrics or ()), *(weighted or ())])


def make_callbacks(experiment: Experiment, run: Path) -> list[keras.callbacks.Callback]:
    """Make the callbacks; what they write goes into a run's folder, pictures into its `samples`."""
    fed = {"folder": run / "samples", "seed": experiment.seed}
    return [
        plugin_checks.callback(part, _call(experiment, part, ("callbacks", index), fed))
        if _is_own(experiment, part)
        else _writing_callback(experiment, written_below(part, run), ("callbacks", index))
        for index, part in enumerate(experiment.callbacks)
    ]


def _writing_callback(experiment: Experiment, part: Part, path: KeyPath) -> Any:
    try:
        make_folders(part)
    except OSError as error:
        text = f"{dotted(path)}: cannot make the folder of {part.options['filename']}"
        raise StorageError(f"{text}: {error.strerror}") from error
    return _keras_callback(experiment, part, path)


def _keras_callback(experiment: Experiment, part: Part, path: KeyPath) -> Any:
    if class_of(part) is keras.callbacks.TensorBoard:
        _check_tensor_board(experiment, part, path)
    part = agreement.with_mode(part, experiment.part_index)
    # What Keras' callbacks schedule goes by epochs.
    return make_value(experiment, part, path, experiment.fit.epochs)


def _check_tensor_board(experiment: Experiment, part: Part, path: KeyPath) -> None:
    """Refuse what Keras would trip over in the middle of the first epoch."""
    if part.options.get("write_steps_per_second") and len(experiment.optimizers) > 1:
        text = f"works with one optimizer; this step has {len(experiment.optimizers)}."
        raise experiment.error((*path, "write_steps_per_second"), text)
    if find_spec("tensorboard") is None:
        text = f"the callback '{part.name}' needs a package: run `pip install tensorboard`."
        raise DeviceError(text)


def reads_batches(experiment: Experiment) -> list[KeyPath]:
    """Return where the callbacks stand that must hear of every batch, one by one."""
    numbered = enumerate(experiment.callbacks)
    return [("callbacks", i) for i, part in numbered if _reads_batches(experiment, part)]


def _reads_batches(experiment: Experiment, part: Part) -> bool:
    if not _is_own(experiment, part) and class_of(part) is keras.callbacks.TensorBoard:
        # With other options it writes by epochs alone, though it has methods for batches.
        by_batch = part.options.get("update_freq", "epoch") != "epoch"
        return by_batch or any(part.options.get(k) for k in _BY_BATCH)
    made = _made_by(experiment, part)
    # Of a function that makes a callback nobody can tell.
    plain = keras.callbacks.Callback
    return any(getattr(made, hook, None) is not getattr(plain, hook) for hook in _BATCH_HOOKS)


def writes_events(experiment: Experiment) -> bool:
    """Return whether TensorBoard's callback, or one derived from it, writes into the run."""
    return any(
        isinstance(made := _made_by(experiment, part), type)
        and issubclass(made, keras.callbacks.TensorBoard)
        for part in experiment.callbacks
    )


def _made_by(experiment: Experiment, part: Part) -> Any:
    """Return the class or the function that makes a callback."""
    is_own = _is_own(experiment, part)
    return REGISTRIES["callback"].get(part.name) if is_own else class_of(part)


def _is_own(experiment: Experiment, part: Part) -> bool:
    """Whether a part is a plugin's or fitx', not Keras'."""
    found = experiment.part_index.find(part.kind, part.name)
    is_plugin = found is not None and found.module.path in experiment.plugins
    return is_plugin or experiment.part_index.is_shipped(part.kind, part.name)


def _call(experiment: Experiment, part: Part, path: KeyPath, fed: dict[str, Any]) -> Any:
    """Call a part of ours or a plugin's with its options, and with what it takes of `fed`."""
    signature = experiment.part_index.signature(part.kind, part.name)
    names = {p.name for p in signature.parameters} if signature else set()
    filled = {name: value for name, value in fed.items() if name in names}
    options = make_value(experiment, part.options, path)
    with blamed(experiment, path):
        return REGISTRIES[part.kind].get(part.name)(**{**filled, **options})
