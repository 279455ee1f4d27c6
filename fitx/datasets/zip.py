"""Datasets side by side: each batch holds one batch of every stream."""

import hashlib
from dataclasses import replace
from typing import Annotated, Any

from annotated_types import MinLen

from fitx.datasets import register
from fitx.registry.kinds import Dataset


@register
def zip(
    *, seed: int, streams: Annotated[dict[str, Dataset], MinLen(1)], epoch: str | None = None
) -> Any:
    """Return datasets that are read side by side, such as labelled and unlabelled examples.

    A batch is a dictionary with a batch of each stream by its name. One stream sets the length of
    an epoch; the others go over their rows again and again, each in an order of its own, without
    regard to epochs. If the batch that ends an epoch is short, the others are short in proportion.
    A split is evaluated if that stream has it, together with the others that have it too.

    Args:
        seed: Seed of the order of rows; by default the experiment's.
        streams: Datasets by the name of their stream, each with options of its own, such as
            `labelled: {name: digits, batch_size: 32}`.
        epoch: The stream that sets the length of an epoch; null: the first.
    """
    first = epoch or next(iter(streams))
    others = {
        name: replace(data, seed=_seed(seed, name))
        for name, data in streams.items()
        if name != first
    }
    return replace(streams[first], name=first, others=others)


def _seed(seed: int, stream: str) -> int:
    """Return the seed of a stream's order: with equal orders, rows would always meet the same."""
    digest = hashlib.sha256(f"{seed} {stream}".encode()).digest()
    return int.from_bytes(digest[:8], "little")
