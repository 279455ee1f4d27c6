"""An experiment as YAML again, such that fitx reads back exactly what it wrote."""

from __future__ import annotations

from typing import Any

import yaml

from fitx.experiment.experiment import Experiment, Reference
from fitx.experiment.yaml import reader


def dump(
    experiment: Experiment, *, plugins: list[str] | None = None, ascii_only: bool = False
) -> str:
    """Return the experiment resolved, with its defaults filled in and `${env:...}` kept.

    Args:
        experiment: What to write.
        plugins: Where its plugins are, as seen from the file to be written.
        ascii_only: Whether to write other characters as escapes.
    """
    values = experiment.as_mapping()
    if plugins:
        values["plugins"] = plugins
    return yaml.dump(
        values, Dumper=_Dumper, sort_keys=False, allow_unicode=not ascii_only, width=100
    )


class _Dumper(yaml.SafeDumper):
    """Quotes every string that fitx would read as something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if _reads_as_string(text) and "${" not in text else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _reads_as_string(text: str) -> bool:
    try:
        return isinstance(reader.scalar(text), str)
    except ValueError:
        return False


def _reference(dumper: yaml.SafeDumper, text: Reference) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text))


_Dumper.add_representer(str, _string)
_Dumper.add_representer(Reference, _reference)
