"""Writes an experiment as YAML that fitx reads back as the same experiment."""

from __future__ import annotations

from typing import Any

import yaml

from fitx.experiment.experiment import Experiment, Reference
from fitx.experiment.yaml import reader


def dump(
    experiment: Experiment, *, plugins: list[str] | None = None, ascii_only: bool = False
) -> str:
    """Return the resolved experiment as YAML, with its defaults and with `${env:...}` kept.

    Args:
        experiment: The experiment to write.
        plugins: Paths of its plugins, relative to the file to be written.
        ascii_only: Write all characters other than ASCII as escapes.
    """
    values = experiment.as_mapping()
    if plugins:
        values["plugins"] = plugins
    return yaml.dump(
        values, Dumper=_Dumper, sort_keys=False, allow_unicode=not ascii_only, width=100
    )


class _Dumper(yaml.SafeDumper):
    """Quotes strings that fitx would otherwise read as another type."""

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
