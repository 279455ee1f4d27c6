"""`Step`, the base class of training algorithms."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import reduce
from itertools import compress
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from fitx.compat import replica_means
from fitx.compat.loss_scale import scaled
from fitx.engine.compiled_losses import CompiledLosses
from fitx.engine.replicas import shared_steps
from fitx.engine.step_contents import Optimizer, StepContents
from fitx.registry.kinds import SHARED_OPTIMIZER

_Lists: TypeAlias = dict[str, list[Any]]
"""Gradients or variables by the name of their optimizer."""


class Step(CompiledLosses, keras.Model):
    """A training algorithm and the named networks it trains.

    A subclass writes `train_step(self, data)` and, if it likes, `test_step`, as in the Keras
    guide "Customizing what happens in fit()". Its constructor's positional parameters are its
    networks, its keyword-only parameters its settings; without a constructor it has one
    network, `model`. What its steps return is what is logged, as means over the epoch; a step
    with neither a `test_step` nor a loss is not validated.

    Inside a step: `self(x)` runs the first network; each network is an attribute, its
    optimizer is `self.<network>_optimizer`, and the only one is `self.optimizer` too. One
    optimizer may train all networks. Layers that a step makes for itself are built in its
    constructor; the only optimizer trains them.

    Reserved attributes, besides those of `keras.Model`, are `execution`, `networks`,
    `network_optimizers`, `minimize`, `per_example` and the names of the
    optimizers. A network cannot have any of these names.

    Attributes:
        OWN_LOSS: Keras' name of the loss that the step computes without being given one, from
            which networks get their outputs; None if there is no such loss.
    """

    OWN_LOSS: str | None = None

    def __init__(self, **networks: keras.Model) -> None:
        # Two positional arguments would make Keras turn the class into a functional model.
        super().__init__()
        reserved = {*dir(self), "optimizer", "history", "stop_training", "stop_evaluating"}
        for name, network in networks.items():
            if name in reserved:
                text = f"a network cannot be called '{name}': every Step has that name already"
                raise ValueError(text)
            setattr(self, name, network)

    @property
    def networks(self) -> dict[str, keras.Model]:
        """The networks that are not None by name, in the constructor's order."""
        network_by_name = {name: getattr(self, name) for name in network_names(type(self))}
        return {name: network for name, network in network_by_name.items() if network is not None}

    @property
    def output_names(self) -> list[str] | None:
        """The names of the first network's outputs, by which losses and metrics may be given."""
        return getattr(next(iter(self.networks.values()), None), "output_names", None)

    @property
    def network_optimizers(self) -> dict[str, Optimizer]:
        """The optimizers by network; a network without one is frozen, unless one trains all."""
        return dict(self.execution.contents.optimizers)

    def compile(  # type: ignore[override]
        self,
        optimizers: dict[str, Optimizer],
        loss: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        loss_weights: Any = None,
    ) -> None:
        """Attach an optimizer to each trained network, and the loss and metrics to the step.

        Every optimizer is built on the variables of its network, so that its state can be saved
        and restored before the first step. A single optimizer trains the step's own variables
        too.

        Args:
            optimizers: Optimizers by network. If there is any, a network without one is frozen.
                A single one called SHARED_OPTIMIZER trains all networks.
            loss: The loss of `self.compute_loss`, as `keras.Model.compile` takes it.
            metrics: Further metrics, as `keras.Model.compile` takes them.
            weighted_metrics: The same, for metrics that use sample weights.
            loss_weights: The factors of losses by output.
        """
        self._freeze_untrained(optimizers)
        attached = {name: scaled(optimizer, self) for name, optimizer in optimizers.items()}
        owners = {name: self if len(attached) == 1 else getattr(self, name) for name in attached}
        optimized = {name: owner.trainable_variables for name, owner in owners.items()}
        self.execution.contents = StepContents(self.networks, attached, optimized)
        for name, optimizer in attached.items():
            optimizer.build(optimized[name])
            self.execution.usage.observe(name, optimizer)
            if self.execution.strategy is not None:
                replica_means.average_gradients(optimizer)
            if name != SHARED_OPTIMIZER:
                setattr(self, f"{name}_optimizer", optimizer)
        for network in self.networks.values() if self.execution.strategy is not None else ():
            replica_means.average_statistics(network)
        # None keeps Keras from making an RMSprop of its own, with slots for all networks.
        only = next(iter(attached.values())) if len(attached) == 1 else None
        super().compile(
            optimizer=only,
            loss=loss,
            loss_weights=loss_weights,
            metrics=metrics,
            weighted_metrics=weighted_metrics,
            jit_compile=False,
            auto_scale_loss=False,
        )
        # Keras read the attribute when it set it.
        self.execution.usage.loss = False
        self.execution.discard_graphs(self)
        # Keras calls an unbuilt model with symbolic inputs, which fails with several networks.
        self.built = True

    def _freeze_untrained(self, optimizers: dict[str, Optimizer]) -> None:
        """Freeze the networks without an optimizer, if there is any optimizer."""
        for name, network in self.networks.items():
            # Setting it to True would unfreeze layers that a network itself has frozen. Without
            # any optimizer nothing is trained, but networks do not count as frozen.
            if optimizers and not {name, SHARED_OPTIMIZER} & optimizers.keys():
                network.trainable = False

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        """Run the first network."""
        return next(iter(self.networks.values()))(inputs, training=training)

    def minimize(self, loss: tf.Tensor, tape: tf.GradientTape, *networks: str) -> None:
        """Take one optimizer step on networks.

        In float16 the loss is scaled. A frozen network is not changed. A single optimizer trains
        the step's own variables too.

        Args:
            loss: Scalar, computed inside `tape`.
            tape: The tape that watched the computation.
            networks: Names of the networks to update; without any, every network that the loss
                depends on.

        Raises:
            ValueError: The loss is not one number, there is no such network, or the loss depends
                on no variable that is to be updated.
        """
        for name in networks:
            if name not in network_names(type(self)):
                names = ", ".join(self.networks)
                raise ValueError(f"minimize: there is no network '{name}'; there are {names}")
        variables = self._variables_to_update(networks)
        if not variables:
            return
        if loss.shape.rank:
            # Its gradient would be that of the sum instead of the mean.
            raise ValueError(f"minimize takes one number, not a loss of shape {loss.shape}")
        gradients = self._gradients(loss, tape, variables)
        if not networks or SHARED_OPTIMIZER in variables:
            gradients, variables = _without_missing(gradients, variables)
        for name, trained_variables in variables.items():
            self.network_optimizers[name].apply(gradients[name], trained_variables)

    def _gradients(self, loss: tf.Tensor, tape: tf.GradientTape, variables: _Lists) -> _Lists:
        """Return the gradients of variables by optimizer, each times the optimizer's loss scale."""
        scales = {n: self.network_optimizers[n].scale_loss(tf.ones(())) for n in variables}
        # Starting the backward pass at the scale equals scaling the loss inside the tape.
        start = reduce(tf.minimum, scales.values())
        gradients: _Lists = tape.gradient(loss, variables, tf.cast(start, loss.dtype))
        if len(scales) == 1:
            return gradients

        def rescaled(gradient: Any, factor: tf.Tensor) -> Any:
            # A gradient of single rows has no operator *.
            return tf.math.scalar_mul(tf.cast(factor, gradient.dtype), gradient)

        return {
            name: [g if g is None else rescaled(g, scales[name] / start) for g in part]
            for name, part in gradients.items()
        }

    def _variables_to_update(self, networks: tuple[str, ...]) -> _Lists:
        """Return the variables to update by optimizer; for no names, of all networks."""
        optimized = self.execution.contents.optimized
        if not networks:
            return optimized
        if SHARED_OPTIMIZER not in optimized:
            return {name: optimized[name] for name in networks if name in optimized}
        others = [n for name, n in self.networks.items() if name not in networks]
        left_out = {id(v) for network in others for v in network.trainable_variables}
        return {SHARED_OPTIMIZER: [v for v in optimized[SHARED_OPTIMIZER] if id(v) not in left_out]}

    def per_example(self, examples: Any, draw: Callable[[Any], tf.Tensor]) -> tf.Tensor:
        """Draw random numbers for each example of a batch, the same on any number of devices.

        Under `execution.strategy` a step gets only its share of a batch. The numbers of
        `keras.random` there are not those that a single device would draw for these examples.

        Args:
            examples: A tensor of the batch.
            draw: Takes a number of examples and returns a tensor with that number of rows.
        """
        return shared_steps.drawn_for_rows(tf.shape(examples)[0], draw)

    def fit(
        self,
        *args: Any,
        callbacks: Iterable[keras.callbacks.Callback] | None = None,
        **keywords: Any,
    ) -> keras.callbacks.History:
        """Train as `keras.Model.fit` does."""
        return super().fit(*args, callbacks=[_AssignAverages(), *(callbacks or ())], **keywords)


class _AssignAverages(keras.callbacks.Callback):
    """Assigns averaged weights before any other callback is called at the end of training."""

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        # Keras does the same for `optimizer`, which is None where there are several.
        if self.model.optimizer is None:
            contents = self.model.execution.contents
            for name, optimizer in contents.optimizers.items():
                optimizer.finalize_variable_values(contents.optimized[name])


def _without_missing(gradients: _Lists, variables: _Lists) -> tuple[_Lists, _Lists]:
    """Return gradients and variables without the variables on which the loss does not depend."""
    is_present = {name: [g is not None for g in part] for name, part in gradients.items()}
    names = [name for name in variables if any(is_present[name])]
    if variables and not names:
        raise ValueError("minimize: the loss depends on no variable that an optimizer trains")
    left = [{n: list(compress(p[n], is_present[n])) for n in names} for p in (gradients, variables)]
    return left[0], left[1]


def network_names(cls: type[Step]) -> tuple[str, ...]:
    """Return the names of a step's networks: its constructor's positional parameters."""
    parameters = inspect.signature(cls.__init__).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = tuple(p.name for p in parameters if p.kind in kinds)[1:]
    return names or ("model",)
