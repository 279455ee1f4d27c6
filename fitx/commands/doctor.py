"""Reports on the installation: versions, devices and problems."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from typing import Any

from packaging.requirements import Requirement

from fitx import external_settings
from fitx.rundir import run_environment


def diagnose() -> dict[str, Any]:
    """Examine this installation; takes as long as importing TensorFlow.

    Returns:
        A report ready for JSON. `problems` is a list of sentences, empty if there are none. If
        TensorFlow cannot be imported, the fields on devices are missing.
    """
    installed = run_environment.describe_environment()
    report = {key: installed[key] for key in ("versions", "python", "platform", "cpus")}
    report["overridden"] = [
        *(f"{name}={value}" for name, value in external_settings.overridden_variables.items()),
        *external_settings.overridden_keras_settings(),
    ]
    report["configs"] = _count_configs(resources.files("fitx.configs"))
    problems = version_problems(_requirements(), run_environment.version_of)
    try:
        # Not at the top of the file: this command must work without a working TensorFlow.
        report |= importlib.import_module("fitx.runtime.report").runtime_report()
    except Exception as error:
        problems.append(f"TensorFlow cannot be imported: {type(error).__name__}: {error}")
    return {**report, "problems": problems}


def version_problems(requirements: list[str], version_of: Callable[[str], str | None]) -> list[str]:
    """Return a sentence for each requirement that is not met.

    Args:
        requirements: Requirements as a package's metadata lists them, such as
            "keras>=3.15.1,<3.16"; those of extras are skipped.
        version_of: Returns the installed version of a package, None if it is missing.
    """
    problems = []
    for requirement in map(Requirement, requirements):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = version_of(requirement.name)
        # `str` of a specifier set puts the upper bound first.
        bounds = ",".join(sorted(map(str, requirement.specifier), reverse=True))
        remedy = f"run `pip install '{requirement.name}{bounds}'`"
        if version is None:
            problems.append(f"{requirement.name} is not installed: {remedy}")
        elif not requirement.specifier.contains(version, prereleases=True):
            problems.append(
                f"{requirement.name} {version} is installed, but fitx needs {bounds}: {remedy}"
            )
    return problems


def _requirements() -> list[str]:
    try:
        return metadata.requires("fitx") or []
    except metadata.PackageNotFoundError:
        return []


def _count_configs(folder: Traversable) -> int:
    return sum(
        _count_configs(entry) if entry.is_dir() else entry.name.endswith(".yaml")
        for entry in folder.iterdir()
    )
