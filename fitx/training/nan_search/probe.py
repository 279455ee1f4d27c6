"""One training step run by itself, to see which of its numbers is the first not to be finite."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import keras
import tensorflow as tf

from fitx.compat.sample_weight_ranks import by_example
from fitx.engine.metric_sources import flat


@dataclass(frozen=True)
class Sight:
    """A number that is NaN or infinite.

    Attributes:
        kind: A `value` that the step returned, a `gradient` that an optimizer was given, or a
            `variable` as its optimizer left it.
        thing: The name of the value, or the variable itself.
    """

    kind: Literal["value", "gradient", "variable"]
    thing: Any


def first_not_finite(step: keras.Model, data: Any, restore: Callable[[], object]) -> Sight | None:
    """Run a training step by itself; return its first number that is not finite.

    Nothing is compiled, so that each gradient can be looked at when an optimizer is given it.
    Under float16, gradients that overflow are not given to it, and are not looked at.

    Args:
        step: The step.
        data: Its batch.
        restore: Lets all variables be as they were before the step.
    """
    # At first nothing is updated: a value that is not finite then is no gradient's fault.
    for is_updating in (False, True):
        restore()
        seen: list[Sight] = []
        with (
            _watched(step.network_optimizers.values(), seen, is_updating=is_updating),
            by_example(),
        ):
            values = dict(flat(step.train_step(data)))
        of_values = [Sight("value", name) for name, value in values.items() if not _finite(value)]
        in_order = [*seen, *of_values] if is_updating else [*of_values, *seen]
        if in_order:
            return in_order[0]
    return None


@contextmanager
def _watched(optimizers: Iterable[Any], seen: list[Sight], *, is_updating: bool) -> Iterator[None]:
    """Let optimizers tell what is not finite; every way to apply gradients ends in `apply`."""
    with ExitStack() as stack:
        for optimizer in optimizers:
            # One that scales the loss leaves out steps whose gradients have overflowed.
            inner = getattr(optimizer, "inner_optimizer", optimizer)
            stack.callback(setattr, inner, "apply", inner.apply)
            inner.apply = _telling(inner, seen, is_updating)
        yield


def _telling(optimizer: Any, seen: list[Sight], is_updating: bool) -> Callable[..., None]:
    apply = optimizer.apply

    def apply_and_tell(grads: Sequence[Any], trainable_variables: Any = None) -> None:
        given = optimizer._trainable_variables if trainable_variables is None else None
        variables = list(trainable_variables) if given is None else given
        pairs = zip(grads, variables, strict=False)
        seen.extend(Sight("gradient", v) for g, v in pairs if g is not None and not _finite(g))
        if is_updating:
            apply(grads, variables)
            seen.extend(Sight("variable", v) for v in variables if not _finite(v))

    return apply_and_tell


def _finite(number: Any) -> bool:
    """Whether a value, a gradient (a sparse one too) or a variable is finite."""
    tensor = tf.convert_to_tensor(getattr(number, "values", number))
    return not tensor.dtype.is_floating or bool(tf.reduce_all(tf.math.is_finite(tensor)))
