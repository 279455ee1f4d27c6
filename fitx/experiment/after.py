"""The key `after`: the runs whose trained networks an experiment starts with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, PlainValidator, TypeAdapter, WithJsonSchema
from pydantic_core import PydanticCustomError

from fitx.experiment.yaml.tree import KeyPath, dotted

_WHOLE = re.compile(r"(?P<run>[^@]+?)(@(?P<weights>best|last))?")
_NETWORK = re.compile(r"(?P<run>[^@:]+?)(@(?P<weights>best|last))?(:(?P<source>[A-Za-z_]\w*))?")


@dataclass(frozen=True)
class NetworkSource:
    """A run, and the networks of it that an experiment starts with.

    Attributes:
        path: The key of the experiment.
        run: The run as it is written.
        weights: "last" for the weights that the run ended with, "best" for its best epoch's.
        network: The network that gets the weights; None for all networks of the same names.
        source: The name of the run's network; None for the same name, or for its only network.
        folder: The run folder; None until it is found.
    """

    path: KeyPath
    run: str
    weights: str = "last"
    network: str | None = None
    source: str | None = None
    folder: Path | None = None

    @property
    def override(self) -> str:
        """The override that names the run by its folder."""
        run = self.folder.resolve() if self.folder is not None else self.run
        source = f":{self.source}" if self.source is not None else ""
        return f"{dotted(self.path)}={run}@{self.weights}{source}"


def network_sources(after: str | dict[str, str] | None) -> Iterator[NetworkSource]:
    """Yield the sources that the key `after` names."""
    if isinstance(after, str):
        yield NetworkSource(("after",), **_parsed(_WHOLE, after))
    elif after is not None:
        for network, text in after.items():
            yield NetworkSource(("after", network), network=network, **_parsed(_NETWORK, text))


def _parsed(form: re.Pattern[str], text: str) -> dict[str, Any]:
    match = form.fullmatch(text)
    return {k: v for k, v in match.groupdict().items() if v is not None} if match else {}


def _network_source(value: Any) -> Any:
    if not isinstance(value, str) or not _NETWORK.fullmatch(value):
        expected = "expected RUN, RUN@best, or either followed by :NETWORK"
        raise PydanticCustomError("expected", expected)
    return value


_BY_NETWORK = TypeAdapter(dict[str, Annotated[str, BeforeValidator(_network_source)]])


def _after(value: Any) -> Any:
    if isinstance(value, dict) and value:
        return _BY_NETWORK.validate_python(value)
    if value is not None and not (isinstance(value, str) and _WHOLE.fullmatch(value)):
        expected = "expected RUN, RUN@best, or a mapping from networks to runs"
        raise PydanticCustomError("expected", expected)
    return value


After: TypeAlias = Annotated[
    Any,
    PlainValidator(_after),
    WithJsonSchema({"anyOf": [{"type": "string"}, _BY_NETWORK.json_schema(), {"type": "null"}]}),
]
"""The annotation of the key `after`."""
