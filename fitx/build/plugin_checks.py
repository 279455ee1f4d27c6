"""Type checks of the parts that plugins make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from fitx.compat.compile_arguments import compiled_loss
from fitx.data.splits import PARTS, Split, Splits
from fitx.errors import UserCodeError
from fitx.experiment.experiment import Experiment
from fitx.registry.kinds import Part
from fitx.step import Step, network_names


def splits(part: Part, returned: Any) -> Splits:
    """Return a dataset's splits. Raises UserCodeError if they are not splits.

    Besides a `Split`, each may be what a step gets as a batch, with all rows: x, (x, y) or
    (x, y, sample_weight), or a longer tuple. Two such tuples are train and test, as Keras'
    datasets give them.
    """
    if isinstance(returned, tuple | list) and len(returned) == 2 and all(map(_is_pair, returned)):
        returned = dict(zip(("train", "test"), returned, strict=True))
    if isinstance(returned, dict) and all(_is_split(*item) for item in returned.items()):
        return {name: _split(value) for name, value in returned.items()}
    inner = next((_kind(v) for v in returned.values()), "") if isinstance(returned, dict) else ""
    found = f"{_kind(returned)} of {inner}" if inner else _kind(returned)
    text = "return splits: {'train': (x, y)}, of numpy arrays, and 'validation' and 'test' alike."
    raise UserCodeError(f"dataset '{part.name}' returned {found}; {text}")


def network(part: Part, returned: Any, *, is_built: bool) -> keras.Model:
    """Return a network.

    Args:
        part: The part that made it.
        returned: What the part made.
        is_built: Whether the network must have its variables already.

    Raises:
        UserCodeError: It is not a model, or has no variables yet.
    """
    if not isinstance(returned, keras.Model):
        text = f"model '{part.name}' returned {_kind(returned)}; return a keras.Model."
        raise UserCodeError(text)
    if is_built and not returned.built:
        text = f"model '{part.name}' returned a network without a known input shape; "
        raise UserCodeError(text + "begin it with keras.Input(input_shape), or call its build().")
    return returned


def step(part: Part, returned: Any, passed_networks: Mapping[str, keras.Model]) -> Step:
    """Return a step that was constructed with networks.

    Raises:
        UserCodeError: It is not a Step, or does not keep one of its networks.
    """
    if not isinstance(returned, Step):
        text = f"step '{part.name}' is {_kind(returned)}; derive it from fitx.step.Step."
        raise UserCodeError(text)
    missing = [name for name in network_names(type(returned)) if not hasattr(returned, name)]
    if missing:
        text = f"{type(returned).__name__}.__init__ does not keep its network '{missing[0]}'; "
        call = f"super().__init__({missing[0]}={missing[0]})"
        raise UserCodeError(text + f"call {call} there.")
    for name in passed_networks:
        attribute = getattr(returned, name)
        if not isinstance(attribute, keras.Model):
            text = f"{type(returned).__name__}.__init__ replaces its network '{name}' by "
            raise UserCodeError(f"{text}{_kind(attribute)}; keep a keras.Model there.")
    return returned


def model_step(part: Part, returned: Any) -> keras.Model:
    """Return a step that is a keras.Model. Raises UserCodeError if it is not one."""
    if isinstance(returned, Step):
        text = (
            f"step '{part.name}' returned a fitx.Step; register the function with @steps.register"
        )
        raise UserCodeError(f"{text}, so that its positional parameters are networks.")
    if not isinstance(returned, keras.Model):
        raise UserCodeError(f"step '{part.name}' is {_kind(returned)}; return a keras.Model.")
    return returned


def callback(part: Part, returned: Any) -> keras.callbacks.Callback:
    """Return a callback. Raises UserCodeError if it is not one."""
    if isinstance(returned, keras.callbacks.Callback):
        return returned
    text = f"callback '{part.name}' is {_kind(returned)}; derive it from keras.callbacks.Callback."
    raise UserCodeError(text)


def measures(experiment: Experiment, step: Step) -> bool:
    """Return whether a step can be evaluated: with its own `test_step`, or Keras' and a loss."""
    cls = type(step)
    overrides_test_step = cls.test_step is not keras.Model.test_step
    has_loss = experiment.loss is not None or compiled_loss(step) is not None
    return overrides_test_step or has_loss or cls.compute_loss is not Step.compute_loss


def require_evaluation(experiment: Experiment, step: Step) -> None:
    """Raise ConfigError for a step that cannot be evaluated."""
    if not measures(experiment, step):
        text = f"step '{experiment.step.name}' has no test_step, so it cannot be evaluated; "
        raise experiment.error(("step",), text + "write one, or use another step with --step.")


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2


def _is_split(name: Any, value: Any) -> bool:
    """Return whether an item of a dictionary is a named split; whether its arrays are valid is
    checked later.
    """
    if isinstance(value, Split):
        return isinstance(name, str) and value.x is not None
    arrays = Split(value).arrays().values()
    return isinstance(name, str) and any(isinstance(array, np.ndarray) for array in arrays)


def _split(value: Any) -> Split:
    if isinstance(value, Split):
        return value
    if not isinstance(value, tuple | list):
        return Split(value)
    parts = [*value, None, None]
    is_labelled = len(value) <= len(PARTS) and parts[0] is not None
    return Split(*parts[: len(PARTS)]) if is_labelled else Split(tuple(value), is_bare=True)


def _kind(returned: Any) -> str:
    return "nothing" if returned is None else f"a {type(returned).__name__}"
