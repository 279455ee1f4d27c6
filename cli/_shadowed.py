"""Tells that a name stands for a shipped experiment though a file of that name is there."""

from __future__ import annotations

from ._output import print_error


def tell_shadowed(name: str) -> None:
    """Write to standard error what a name stands for, and how to name the file beside."""
    from fitx.experiment.yaml.locate import beside_shipped

    file = beside_shipped(name)
    if file is not None:
        print_error(f"{name} is the shipped experiment; write {file} for the one in this folder")
