"""What is installed, what computes, and what stands in the way."""

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
    """Look at this installation; takes as long as importing TensorFlow.

    Returns:
        Facts by name, ready for JSON; `problems` is a list of sentences, empty when all is
        well. Without a TensorFlow that can be imported, what it knows is missing.
    """
    installed = run_environment.describe_environment()
    facts = {key: installed[key] for key in ("versions", "python", "platform", "cpus")}
    facts["overridden"] = [
        *(f"{name}={value}" for name, value in external_settings.overridden_variables.items()),
        *external_settings.overridden_keras_settings(),
    ]
    facts["configs"] = _count_configs(resources.files("fitx.configs"))
    problems = version_problems(_requirements(), run_environment.version_of)
    try:
        # Not at the top: an installation that cannot import it is what a doctor is asked about.
        facts |= importlib.import_module("fitx.runtime.report").runtime_report()
    except Exception as error:
        problems.append(f"TensorFlow cannot be imported: {type(error).__name__}: {error}")
    return {**facts, "problems": problems}


def version_problems(requirements: list[str], version_of: Callable[[str], str | None]) -> list[str]:
    """Return a sentence for each requirement that is not met.

    Args:
        requirements: as a package's metadata lists them, such as "keras>=3.15.1,<3.16"; those
            of extras are passed over.
        version_of: tells the installed version of a package, None where there is none.
    """
    problems = []
    for requirement in map(Requirement, requirements):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = version_of(requirement.name)
        # The package would put the upper bound first.
        bounds = ",".join(sorted(map(str, requirement.specifier), reverse=True))
        remedy = f"run `pip install '{requirement.name}{bounds}'`"
        if version is None:
            problems.append(f"{requirement.name} is not installed: {remedy}")
        elif not requirement.specifier.contains(version, prereleases=True):
            problems.append(
                f"{requirement.name} {version} is installed, and fitx needs {bounds}: {remedy}"
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
