"""Refuses versions of Keras and TensorFlow that lack a private name which fitx uses."""

from __future__ import annotations

from importlib.metadata import requires, version
from typing import Any

from fitx.errors import DeviceError


def demand(owner: Any, *names: str) -> None:
    """Refuse a module or a class without these names, where computing on would give other values.

    Args:
        owner: A module or a class of Keras or TensorFlow.
        names: The attributes of it that fitx replaces or reads.

    Raises:
        DeviceError: One is missing; says which versions to install.
    """
    missing = [name for name in names if not hasattr(owner, name)]
    if not missing:
        return
    module = getattr(owner, "__module__", owner.__name__)
    package = module.partition(".")[0]
    where = module if module == owner.__name__ else f"{module}.{owner.__name__}"
    needed = next(word for word in requires("fitx") or () if word.startswith(package))
    raise DeviceError(
        f"{package} {version(package)} has no {missing[0]} in {where}, which fitx needs; "
        f"run `pip install '{needed}'`."
    )
