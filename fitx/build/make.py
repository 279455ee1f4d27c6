"""Experiment to Trial: the only place that makes parts.

The order is fixed (data, networks as the step names them, step, optimizers), so that the seed
gives the same initial weights whatever order the experiment file is written in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from fitx.build import agreement
from fitx.build.blame import blamed
from fitx.build.parts import class_of, make_part
from fitx.build.trial import Trial
from fitx.data import prepare as preparation
from fitx.data.facts import facts
from fitx.data.prepare import Data
from fitx.data.validate import validate
from fitx.errors import UserCodeError
from fitx.experiment.experiment import Experiment
from fitx.experiment.options import batch_options
from fitx.experiment.tree import Path as KeyPath
from fitx.registry.kinds import FED, Part
from fitx.registry.shelf import SHELVES
from fitx.step import Step, network_names


def make(experiment: Experiment) -> Trial:
    """Make the data, networks, step and optimizers of an experiment.

    Raises:
        DataError: The data cannot be trained on, or does not fit the networks or the loss.
        ConfigError: A part refuses the values of its options.
        UserCodeError: A plugin raised.
    """
    data = make_data(experiment)
    steps = experiment.fit.steps_per_epoch or data.steps("train")
    networks = make_networks(experiment, data)
    step = make_step(experiment, networks)
    trial = Trial(experiment, step, data, steps)
    compile_step(trial)
    agreement.check(trial)
    return trial


def make_data(experiment: Experiment) -> Data:
    """Load the dataset's splits, check every number, and set up batches."""
    part = experiment.data
    common = {p.name for p in batch_options()}
    own = {k: v for k, v in part.options.items() if k not in common}
    batching = {k: v for k, v in part.options.items() if k in common}
    splits = _call(experiment, part, ("data",), own, {"seed": experiment.seed})
    source = f"{part.name} '{own['path']}'" if "path" in own else part.name
    validate(splits, source)
    return preparation.prepare(splits, seed=experiment.seed, **batching)


def make_networks(experiment: Experiment, data: Data) -> dict[str, keras.Model]:
    """Build the networks in the order in which the step names them."""
    signature = experiment.catalogue.signature("step", experiment.step.name)
    names = [p.name for p in signature.positional] if signature else []
    fed = {**facts(data.splits), "seed": experiment.seed}
    return {
        name: _call(experiment, experiment.networks[name], ("networks", name), None, fed)
        for name in names
        if name in experiment.networks
    }


def make_step(experiment: Experiment, networks: dict[str, keras.Model]) -> Step:
    """Construct the step around its networks."""
    cls = SHELVES["step"].get(experiment.step.name)
    settings = _fed(experiment, experiment.step, {"seed": experiment.seed})
    with blamed(experiment, ("step",)):
        step: Step = cls(**networks, **settings, **experiment.step.options)
        missing = [name for name in network_names(type(step)) if not hasattr(step, name)]
    if missing:
        text = f"{type(step).__name__}.__init__ does not keep its network '{missing[0]}'; "
        call = f"super().__init__({missing[0]}={missing[0]})"
        raise UserCodeError(text + f"call {call} there.")
    return step


def compile_step(trial: Trial) -> None:
    """Make optimizers, loss and metrics and attach them to the step."""
    experiment, total = trial.experiment, trial.total_steps
    optimizers = {}
    for name, part in experiment.optimizers.items():
        with blamed(experiment, ("optimizers", name)):
            optimizers[name] = make_part(part, total_steps=total)
    with blamed(experiment, ("loss",)):
        loss = make_part(experiment.loss) if experiment.loss else None
    with blamed(experiment, ("metrics",)):
        metrics = [make_part(metric) for metric in experiment.metrics]
    trial.step.compile(optimizers, loss=loss, metrics=metrics or None)
    trial.step.logs_batches = any(_reads_batches(experiment, p) for p in experiment.callbacks)


def make_callbacks(experiment: Experiment, folder: Path) -> list[keras.callbacks.Callback]:
    """Make the callbacks; those that write images write them into `folder`."""
    fed = {"folder": folder, "seed": experiment.seed}
    return [
        _callback(experiment, part, ("callbacks", index), fed)
        for index, part in enumerate(experiment.callbacks)
    ]


def _reads_batches(experiment: Experiment, part: Part) -> bool:
    """Whether a callback looks at the values of every batch, which then leave the device."""
    is_own = part.name in SHELVES["callback"].files() or _is_plugin(experiment, part)
    cls = SHELVES["callback"].get(part.name) if is_own else class_of(part)
    hooks = ("on_train_batch_end", "on_batch_end", "on_test_batch_end")
    plain = keras.callbacks.Callback
    return any(getattr(cls, hook, None) not in (None, getattr(plain, hook)) for hook in hooks)


def _callback(experiment: Experiment, part: Part, path: KeyPath, fed: dict[str, Any]) -> Any:
    if part.name in SHELVES["callback"].files() or _is_plugin(experiment, part):
        return _call(experiment, part, path, None, fed)
    with blamed(experiment, path):
        return make_part(agreement.with_mode(part, experiment.catalogue))


def _is_plugin(experiment: Experiment, part: Part) -> bool:
    found = experiment.catalogue.find(part.kind, part.name)
    return found is not None and found.module.path in experiment.plugins


def _call(
    experiment: Experiment,
    part: Part,
    path: KeyPath,
    options: dict[str, Any] | None,
    fed: dict[str, Any],
) -> Any:
    """Call a part of ours or a plugin's with its options and what fitx fills."""
    function = SHELVES[part.kind].get(part.name)
    with blamed(experiment, path):
        given = {k: _made(v) for k, v in (part.options if options is None else options).items()}
        return function(**{**_fed(experiment, part, fed), **given})


def _fed(experiment: Experiment, part: Part, values: dict[str, Any]) -> dict[str, Any]:
    """Return those of `values` that the part has parameters for."""
    signature = experiment.catalogue.signature(part.kind, part.name)
    names = {p.name for p in signature.parameters} if signature else set()
    return {k: v for k, v in values.items() if k in names & FED[part.kind]}


def _made(value: Any) -> Any:
    if isinstance(value, Part):
        return make_part(value)
    return [_made(item) for item in value] if isinstance(value, list) else value
