"""Versions, command line, machine and git commit of a run. Imports no TensorFlow."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fitx.external_settings import RECORDED

PACKAGES = ("fitx", "tensorflow", "keras", "numpy")
REDIRECTIONS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
PATIENCE_SECONDS = 5.0


def describe_environment() -> dict[str, Any]:
    """Return versions, command line, folder and machine, for run.json."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": processor(),
        "variables": {name: os.environ[name] for name in RECORDED if name in os.environ},
        "versions": {package: version_of(package) for package in PACKAGES},
        "argv": sys.argv,
        "cwd": _cwd(),
        "host": socket.gethostname(),
        "cpus": os.cpu_count(),
    }


def version_of(package: str) -> str | None:
    """Return the installed version of a package; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def processor(file: Path = Path("/proc/cpuinfo")) -> str | None:
    """Return the model name of the CPU; None if /proc/cpuinfo does not hold it."""
    with suppress(OSError), file.open(errors="replace") as lines:
        names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        return next(names, None)
    return None


def git(folder: Path) -> dict[str, Any] | None:
    """Return the commit of the folder's repository and whether tracked files differ from it.

    Returns:
        `{"commit": "07e740d...", "dirty": False}`; None without git, repository or commit.
    """
    configured = _ask(folder, "config", "-z", "--list", "--show-scope", "--name-only")
    if configured is None:
        return None
    switches = _switches(configured)
    if any(switch.count("=") > 1 for switch in switches):
        return None
    words = [word for switch in switches for word in ("-c", switch)]
    answer = _ask(folder, *words, *_STATUS)
    return _parse(answer) if answer is not None else None


_STATUS = (
    *("status", "--porcelain=v2", "--branch", "--untracked-files=no"),
    # git would use the configuration inside a submodule.
    "--ignore-submodules=dirty",
)


def _switches(configured: str) -> list[str]:
    """Return settings that keep git from running programs named in the repository's configuration.

    Anyone may have written that file; the configuration of the user and the machine is trusted.
    """
    words = configured.split("\0")
    pairs = zip(words[::2], words[1::2], strict=False)
    local_keys = [key for scope, key in pairs if scope in ("local", "worktree")]
    drivers = {key.rpartition(".")[0] for key in local_keys if key.startswith("filter.")}
    off = ("clean=", "process=", "required=false")
    return ["core.fsmonitor=false", *(f"{driver}.{one}" for driver in drivers for one in off)]


def _ask(folder: Path, *words: str) -> str | None:
    """Return git's output; None if it fails or takes more than 5 s."""
    # A git hook that starts fitx sets variables that point to the hook's repository.
    # The empty list of protocols keeps git from fetching missing objects.
    environment = {k: v for k, v in os.environ.items() if k not in REDIRECTIONS}
    try:
        completed = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *words],
            env={**environment, "GIT_ALLOW_PROTOCOL": ""},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return completed.stdout.decode(errors="replace") if completed.returncode == 0 else None


def _parse(output: str) -> dict[str, Any] | None:
    lines = output.splitlines()
    commits = [line.split()[-1] for line in lines if line.startswith("# branch.oid ")]
    if not commits or commits[0] == "(initial)":
        return None
    return {"commit": commits[0], "dirty": any(not line.startswith("#") for line in lines)}


def _cwd() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None
