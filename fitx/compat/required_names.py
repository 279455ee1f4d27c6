"""Refuses versions of Keras and TensorFlow that lack a private name which fitx uses."""

from __future__ import annotations

from importlib.metadata import requires, version
from types import ModuleType
from typing import Any, NoReturn

from fitx.errors import DeviceError


def demand(owner: Any, *names: str) -> None:
    """Refuse a module, a class or an object without these names, rather than compute wrongly.

    Args:
        owner: A module, a class or an object of Keras or TensorFlow.
        names: The attributes of it that fitx replaces or reads.

    Raises:
        DeviceError: One is missing; says which versions to install.
    """
    for name in names:
        if not hasattr(owner, name):
            refuse(owner, name)


def refuse(owner: Any, name: str) -> NoReturn:
    """Refuse the installed version of the package of a module, a class or an object.

    Raises:
        DeviceError: Always; names what is missing, and says which versions to install.
    """
    where = owner if isinstance(owner, type | ModuleType) else type(owner)
    path = f"{where.__module__}.{where.__name__}" if isinstance(where, type) else where.__name__
    package = path.partition(".")[0]
    requirement = next(word for word in requires("fitx") or () if word.startswith(package))
    raise DeviceError(
        f"{package} {version(package)} has no {name} in {path}, which fitx needs; "
        f"run `pip install '{requirement}'`."
    )
