"""What a run ran in: versions, command line, machine, git commit. Imports no TensorFlow."""

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

PACKAGES = ("fitx", "tensorflow", "keras", "numpy")
VARIABLES = ("TF_ENABLE_ONEDNN_OPTS", "TF_XLA_FLAGS", "XLA_FLAGS", "NVIDIA_TF32_OVERRIDE")
"""By which a user changes the last bits of what TensorFlow computes."""

REDIRECTIONS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
PATIENCE_SECONDS = 5.0


def describe() -> dict[str, Any]:
    """Return versions, command line, folder and machine, for run.json."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": processor(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
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
    """Return what the CPU is called; None where Linux does not tell."""
    with suppress(OSError), file.open(errors="replace") as lines:
        names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        return next(names, None)
    return None


def git(folder: Path) -> dict[str, Any] | None:
    """Return the commit of the folder's repository and whether tracked files differ from it.

    Returns:
        `{"commit": "07e740d...", "dirty": False}`; None without git, repository or commit.
    """
    return start_git(folder).result()


def start_git(folder: Path) -> GitQuestion:
    """Ask git in the background; the 10-30 ms it takes pass while TensorFlow is imported."""
    # A repository's own configuration names programs that git would run; this one is needless.
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(folder)]
    command += ["status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    # Set when fitx is started by a git hook; they name that hook's repository.
    environment = {k: v for k, v in os.environ.items() if k not in REDIRECTIONS}
    try:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return GitQuestion(None)
    return GitQuestion(process)


class GitQuestion:
    """A question put to git; `result` has the answer."""

    def __init__(self, process: subprocess.Popen[bytes] | None) -> None:
        self._process = process

    def result(self) -> dict[str, Any] | None:
        """Wait for the answer (at most 5 s) and return it as `git` does; call it once."""
        if self._process is None:
            return None
        try:
            output, _ = self._process.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            return None
        return _parse(output.decode(errors="replace")) if self._process.returncode == 0 else None


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
