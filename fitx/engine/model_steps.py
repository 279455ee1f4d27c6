"""Makes steps of keras.Model objects as they are, and finds their networks and optimizers.

A model is given the methods of the engine below its own class, so that whatever the class
overrides stays, and its `super()` calls reach the engine first and Keras then. Layers, optimizers
and metrics that are made while a step runs are made by a run in a graph that is thrown away,
before the step is traced, as stock Keras builds a model before `fit`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import keras
import tensorflow as tf

from fitx.compat import replica_means
from fitx.compat.function_graphs import scratch_graph
from fitx.compat.replacement import replaced
from fitx.engine.compiled_losses import CompiledLosses
from fitx.engine.step_contents import Optimizer, StepContents


def adopt(model: keras.Model, networks: Mapping[str, keras.Model]) -> keras.Model:
    """Make a model run its steps by the engine; return it.

    Args:
        model: The model, which may be compiled afterwards.
        networks: The networks that it was made of, by the names of the experiment.

    Raises:
        TypeError: The class of the model cannot have another base.
    """
    cls = type(model)
    below = type("Model", (CompiledLosses, keras.Model), {"__module__": __name__})
    documented = {"__module__": cls.__module__, "__doc__": cls.__doc__}
    given_loss = vars(model).pop("loss", None)
    model.__class__ = type(cls.__name__, (cls, below), documented)
    model.loss = given_loss
    model.execution.builder = StepBuilder(model, networks)
    return model


class StepBuilder:
    """Builds what a step makes while it runs, and finds its networks and optimizers.

    Args:
        step: The step.
        networks: The networks that it was made of, by the names of the experiment.
    """

    def __init__(self, step: keras.Model, networks: Mapping[str, keras.Model]) -> None:
        self._step, self._networks = step, networks
        self._built: set[str] = set()
        self._prepared: set[int] = set()
        self._unused: set[int] = set()

    def find_contents(self) -> None:
        """Find the networks and the optimizers among the attributes of the step."""
        contents, named = self._step.execution.contents, dict(_named_members(self._step))
        seen = {id(self._step), *map(id, self._networks.values())}
        contents.networks = dict(self._networks)
        for name, member in named.items():
            if isinstance(member, keras.Model) and id(member) not in seen:
                seen.add(id(member))
                contents.networks[name] = member
        contents.optimizers = {
            name: member
            for name, member in named.items()
            if isinstance(member, keras.optimizers.Optimizer) and id(member) not in self._unused
        }

    def build(self, kind: str, spec: Any) -> None:
        """Run a method in a graph that is thrown away, to build what it makes.

        Args:
            kind: The method: "train" or "test".
            spec: The spec of the batches.
        """
        if kind in self._built:
            return
        self._built.add(kind)
        self.find_contents()
        contents = self._step.execution.contents
        method = getattr(self._step, f"{kind}_step")
        strategy = self._step.execution.strategy
        with nullcontext() if strategy is None else strategy.scope():
            with (
                _recorded(contents.optimizers) as applied,
                scratch_graph(),
                _replica(strategy),
                # Nothing is built by a gradient, which takes most of the time of a trace.
                replaced(tf.GradientTape, "gradient", _no_gradient),
            ):
                method(tf.nest.map_structure(_placeholder, spec))
            self.find_contents()
            if kind == "train":
                self._build_optimizers(contents, applied)
        self._prepare(contents)

    def _build_optimizers(
        self, contents: StepContents, applied: Mapping[str, Mapping[int, Any]]
    ) -> None:
        """Build each optimizer on the variables that it was applied to; leave out unused ones."""
        optimizers = contents.optimizers.items()
        # Keras' `compile` makes an optimizer where it is given none.
        self._unused = {id(o) for name, o in optimizers if not applied.get(name) and not o.built}
        self.find_contents()
        for name, optimizer in contents.optimizers.items():
            contents.optimized[name] = variables = list(applied.get(name, {}).values())
            if not optimizer.built:
                optimizer.build(variables)
            _average_only(optimizer, variables)

    def _prepare(self, contents: StepContents) -> None:
        """Observe the optimizers, and let replicas average what they share, each once."""
        execution = self._step.execution
        for name, optimizer in contents.optimizers.items():
            if id(optimizer) in self._prepared:
                continue
            self._prepared.add(id(optimizer))
            execution.usage.observe(name, optimizer)
            if execution.strategy is not None:
                replica_means.average_gradients(optimizer)
        if execution.strategy is not None:
            replica_means.average_statistics(self._step)


@contextmanager
def _recorded(optimizers: Mapping[str, Optimizer]) -> Iterator[dict[str, dict[int, Any]]]:
    """Record the variables that optimizers are applied to, by `id`, instead of applying them."""
    applied: dict[str, dict[int, Any]] = {name: {} for name in optimizers}
    with ExitStack() as stack:
        for name, optimizer in optimizers.items():
            stack.enter_context(_recording(optimizer, applied[name]))
        yield applied


@contextmanager
def _recording(optimizer: Optimizer, applied: dict[int, Any]) -> Iterator[None]:
    def apply(grads: Any, trainable_variables: Iterable[Any] | None = None) -> None:
        applied.update((id(variable), variable) for variable in trainable_variables or ())

    before = vars(optimizer).get("apply")
    optimizer.apply = apply
    try:
        yield
    finally:
        if before is None:
            del optimizer.apply
        else:
            optimizer.apply = before


def _average_only(optimizer: Optimizer, variables: list[Any]) -> None:
    """Let an optimizer that averages weights set those that it trains at the end of `fit`.

    Keras hands it all weights of the model, and sets as many as it averages, from the first on.
    """
    finalize = optimizer.finalize_variable_values
    optimizer.finalize_variable_values = lambda _: finalize(variables)


@contextmanager
def _replica(strategy: tf.distribute.Strategy | None) -> Iterator[None]:
    """Run as the first replica of a strategy, where steps run."""
    if strategy is None:
        yield
        return
    with tf.distribute.ReplicaContext(strategy, replica_id_in_sync_group=0):
        yield


def _no_gradient(tape: tf.GradientTape, target: Any, sources: Any, *_: Any, **__: Any) -> Any:
    return tf.nest.map_structure(tf.zeros_like, sources)


def _placeholder(spec: tf.TensorSpec) -> tf.Tensor:
    return tf.compat.v1.placeholder(spec.dtype, spec.shape)


def _named_members(step: keras.Model) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of a step by name, and the items of lists and mappings in them."""
    of_keras = vars(keras.Model())
    members = {
        name: value
        for name, value in vars(step).items()
        # TensorFlow's own lists of what it tracks begin with `_self_`.
        if name not in of_keras and not name.startswith("_self_")
    }
    if "optimizer" in vars(step):
        members["optimizer"] = step.optimizer
    for name, value in members.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}/{key}", item) for key, item in value.items())
        elif isinstance(value, list | tuple):
            yield from ((f"{name}/{index}", item) for index, item in enumerate(value))
        else:
            yield name, value
