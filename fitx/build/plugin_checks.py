"""Type checks of the parts that plugins make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from fitx.data.splits import Split, Splits
from fitx.errors import UserCodeError
from fitx.experiment.experiment import Experiment
from fitx.registry.kinds import Part
from fitx.step import Step, network_names


def splits(part: Part, made: Any) -> Splits:
    """Return a dataset's splits. Raises UserCodeError if they are not splits."""
    if isinstance(made, dict) and all(_is_split(*item) for item in made.items()):
        return made
    inner = next((_kind(v) for v in made.values()), "") if isinstance(made, dict) else ""
    found = f"{_kind(made)} of {inner}" if inner else _kind(made)
    example = "{'train': Split(x, y)}, with `from fitx import Split`"
    raise UserCodeError(f"dataset '{part.name}' returned {found}; return splits: {example}.")


def network(part: Part, made: Any) -> keras.Model:
    """Return a network. Raises UserCodeError if it is not a model, or has no variables yet."""
    if not isinstance(made, keras.Model):
        text = f"model '{part.name}' returned {_kind(made)}; return a keras.Model."
        raise UserCodeError(text)
    if not made.built:
        text = f"model '{part.name}' returned a network without a known input shape; "
        raise UserCodeError(text + "begin it with keras.Input(input_shape), or call its build().")
    return made


def step(part: Part, made: Any, given: Mapping[str, keras.Model]) -> Step:
    """Return a step that was constructed with networks.

    Raises:
        UserCodeError: It is not a Step, or does not keep one of its networks.
    """
    if not isinstance(made, Step):
        text = f"step '{part.name}' is {_kind(made)}; derive it from fitx.step.Step."
        raise UserCodeError(text)
    missing = [name for name in network_names(type(made)) if not hasattr(made, name)]
    if missing:
        text = f"{type(made).__name__}.__init__ does not keep its network '{missing[0]}'; "
        call = f"super().__init__({missing[0]}={missing[0]})"
        raise UserCodeError(text + f"call {call} there.")
    for name in given:
        kept = getattr(made, name)
        if not isinstance(kept, keras.Model):
            text = f"{type(made).__name__}.__init__ replaces its network '{name}' by {_kind(kept)};"
            raise UserCodeError(f"{text} keep a keras.Model there.")
    return made


def callback(part: Part, made: Any) -> keras.callbacks.Callback:
    """Return a callback. Raises UserCodeError if it is not one."""
    if isinstance(made, keras.callbacks.Callback):
        return made
    text = f"callback '{part.name}' is {_kind(made)}; derive it from keras.callbacks.Callback."
    raise UserCodeError(text)


def measures(experiment: Experiment, step: Step) -> bool:
    """Return whether a step can be evaluated: with its own `test_step`, or Keras' and a loss."""
    cls = type(step)
    own = cls.test_step is not keras.Model.test_step
    return own or experiment.loss is not None or cls.compute_loss is not Step.compute_loss


def require_evaluation(experiment: Experiment, step: Step) -> None:
    """Raise ConfigError for a step that cannot be evaluated."""
    if not measures(experiment, step):
        text = f"step '{experiment.step.name}' has no test_step, so it cannot be evaluated; "
        raise experiment.error(("step",), text + "write one, or use another step with --step.")


def _is_split(name: Any, made: Any) -> bool:
    return isinstance(name, str) and isinstance(made, Split) and made.x is not None


def _kind(made: Any) -> str:
    return "nothing" if made is None else f"a {type(made).__name__}"
