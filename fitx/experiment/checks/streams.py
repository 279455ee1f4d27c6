"""Checks the datasets that an experiment reads side by side."""

from __future__ import annotations

from fitx.experiment.problems import Findings, listed, nearest
from fitx.experiment.schema import Settings
from fitx.registry.kinds import ZIP


def find_stream_problems(settings: Settings) -> Findings:
    """Yield streams within streams, an unknown `epoch`, and options without effect."""
    data = settings.data
    if data is None or data.name != ZIP:
        return
    streams = data.options.get("streams", {})
    epoch = data.options.get("epoch") or next(iter(streams), None)
    if epoch not in streams:
        text = f"there is no stream '{epoch}'; the streams are {listed(list(streams))}."
        yield ("data", "epoch"), f"{text}{nearest(str(epoch), list(streams))}"
    for name, part in streams.items():
        path = ("data", "streams", name)
        if part.name == ZIP:
            yield path, f"'{ZIP}' cannot be a stream; name its datasets here."
        elif name != epoch and part.options.get("drop_remainder"):
            text = f"has no effect: short batches follow from the stream '{epoch}', which sets the"
            yield (*path, "drop_remainder"), f"{text} length of an epoch; remove the key."
