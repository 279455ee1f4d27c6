"""The keras.Model that every training algorithm subclasses."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import tensorflow as tf

from fitx.engine import Log, LossMean, StepFunction


class Step(keras.Model):
    """A training algorithm and the named networks it trains.

    A subclass writes `train_step(self, data)` and, if it likes, `test_step`, as in the Keras
    guide "Customizing what happens in fit()". Its constructor's positional parameters are its
    networks, its keyword-only parameters its settings; without a constructor it has one
    network, `model`. What its steps return is what is logged, as means over the epoch.

    Inside a step: `self(x)` runs the first network; each network is an attribute, its
    optimizer is `self.<network>_optimizer`, and the only one is `self.optimizer` too.
    """

    def __init__(self, **networks: keras.Model) -> None:
        # Two positional arguments would make Keras turn the class into a functional model.
        super().__init__()
        for name, network in networks.items():
            if hasattr(keras.Model, name):
                text = f"a network cannot be called '{name}': keras.Model uses that name itself"
                raise ValueError(text)
            setattr(self, name, network)
        self.logs_batches = False
        self.train_function: StepFunction | None = None
        self.test_function: StepFunction | None = None
        self._logs = _Untracked(train=Log(self), test=Log(self))
        self._running = self.logs["train"]

    @property
    def logs(self) -> dict[str, Log]:
        """What the step returns, in training ("train") and in evaluation ("test")."""
        return self._logs.logs

    @property
    def networks(self) -> dict[str, keras.Model]:
        """The networks by name, in the order of the constructor's parameters."""
        return {name: getattr(self, name) for name in network_names(type(self))}

    @property
    def network_optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """The optimizers by network; a network without one is frozen."""
        attributes = {name: f"{name}_optimizer" for name in self.networks}
        return {n: getattr(self, a) for n, a in attributes.items() if hasattr(self, a)}

    def compile(  # type: ignore[override]
        self,
        optimizers: dict[str, keras.optimizers.Optimizer],
        loss: Any = None,
        metrics: list[Any] | None = None,
    ) -> None:
        """Attach an optimizer to each trained network, and the loss and metrics to the step.

        Every optimizer is built on its own network's variables, so that its state can be put
        on disk and read back before the first step.

        Args:
            optimizers: By network; networks left out are frozen.
            loss: What `self.compute_loss` computes, as `keras.Model.compile` takes it.
            metrics: What `self.metrics` holds besides, as `keras.Model.compile` takes them.
        """
        for name, network in self.networks.items():
            network.trainable = name in optimizers
        attached = {name: _scaled(optimizer, self) for name, optimizer in optimizers.items()}
        only = next(iter(attached.values())) if len(attached) == 1 else None
        for name, optimizer in attached.items():
            own = self if only is not None else getattr(self, name)
            optimizer.build(own.trainable_variables)
            setattr(self, f"{name}_optimizer", optimizer)
        super().compile(
            optimizer=only, loss=loss, metrics=metrics, jit_compile=False, auto_scale_loss=False
        )
        self._loss_tracker = LossMean(name="loss")
        # Keras probes an unbuilt model with made-up inputs, which several networks cannot take.
        self.built = True

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        """Run the first network."""
        return next(iter(self.networks.values()))(inputs, training=training)

    def minimize(self, loss: tf.Tensor, tape: tf.GradientTape, network: str) -> None:
        """Let the optimizer of one network take one step down `loss`.

        Scales the loss where float16 asks for it. A frozen network is left as it is.

        Args:
            loss: Scalar, computed inside `tape`.
            tape: The tape that watched the computation.
            network: Name of the network whose variables move.
        """
        optimizer = self.network_optimizers.get(network)
        if optimizer is None:
            return
        variables = getattr(self, network).trainable_variables
        # Starting the backward pass at the scale equals scaling the loss inside the tape.
        start = optimizer.scale_loss(tf.ones_like(loss))
        optimizer.apply(tape.gradient(loss, variables, output_gradients=start), variables)

    def make_train_function(self, force: bool = False) -> StepFunction:
        """Return the function that `fit` calls once a batch."""
        function: StepFunction | None = None if force else self.train_function
        self.train_function = function or self._function(self.train_step, self.logs["train"])
        return self.train_function

    def make_test_function(self, force: bool = False) -> StepFunction:
        """Return the function that `evaluate` calls once a batch."""
        function: StepFunction | None = None if force else self.test_function
        self.test_function = function or self._function(self.test_step, self.logs["test"])
        return self.test_function

    def reset_metrics(self) -> None:
        """Begin a new epoch, of training or of evaluation."""
        super().reset_metrics()
        for log in self.logs.values():
            log.reset()

    def logged(self) -> dict[str, float]:
        """Return the values logged so far in the running epoch; waits for the device."""
        return {name: float(value) for name, value in self._running.result().items()}

    def _function(self, method: Any, log: Log) -> StepFunction:
        if isinstance(self._loss_tracker, LossMean):
            self._loss_tracker.fed = False
        return _Marking(self, method, log)

    def _get_metrics_result_or_logs(self, logs: Any) -> dict[str, Any]:
        """Return an epoch's values; `fit` and `evaluate` of Keras ask here at an epoch's end."""
        return self._running.result()


class _Untracked:
    """Holds the logs where Keras does not find their means, so that they stay out of `metrics`."""

    def __init__(self, **logs: Log) -> None:
        self.logs = logs


class _Marking(StepFunction):
    """A step function that tells the step which log is being written."""

    def __init__(self, step: Step, method: Any, log: Log) -> None:
        super().__init__(method, log, returns_values=step.logs_batches)
        self.step = step

    def __call__(self, iterator: Any) -> Any:
        self.step._running = self.log
        return super().__call__(iterator)


def network_names(cls: type[Step]) -> tuple[str, ...]:
    """Return the networks of a step: its constructor's positional parameters."""
    parameters = inspect.signature(cls.__init__).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = tuple(p.name for p in parameters if p.kind in kinds)[1:]
    return names or ("model",)


def _scaled(optimizer: keras.optimizers.Optimizer, step: Step) -> keras.optimizers.Optimizer:
    """Return the optimizer, under float16 one that scales the loss against underflow."""
    if step.dtype_policy.name != "mixed_float16":
        return optimizer
    return keras.optimizers.LossScaleOptimizer(optimizer)
