"""The files of an experiment as they were given, and their git commit."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitx.rundir import run_environment
from fitx.rundir.files import read_regular, write_atomically

Git = Callable[[], dict[str, Any] | None]


@dataclass(frozen=True)
class Provenance:
    """The source files and the git commit of an experiment.

    Args:
        files: The content of each file.
        git: Returns the result of `run_environment.git` for the working folder; may block.
    """

    files: dict[Path, bytes]
    git: Git

    def sha256(self, file: Path) -> str:
        """Return the SHA-256 hash of one file's content, as `plugins.sha256` does."""
        return hashlib.sha256(self.files[file]).hexdigest()

    def copy(self, folder: Path) -> dict[Path, Path]:
        """Write every file into a folder and return the copies; equal names get a number.

        Raises:
            StorageError: A file cannot be written.
        """
        copies: dict[Path, Path] = {}
        for file, content in self.files.items():
            copy, number = folder / file.name, 1
            while copy in copies.values():
                number += 1
                copy = folder / f"{file.stem}-{number}{file.suffix}"
            write_atomically(copy, content)
            copies[file] = copy
        return copies


def read_provenance(files: Iterable[Path]) -> Provenance:
    """Read the files of an experiment that was just loaded, and start to ask git for the commit.

    Called right after loading: the user may edit the files while TensorFlow is imported, and the
    run folder must hold the files that are trained.

    Raises:
        StorageError: A file cannot be read any more.
    """
    return Provenance({file: read_regular(file) for file in dict.fromkeys(files)}, _ask_git())


def _ask_git() -> Git:
    """Ask git in a thread: its 10 to 30 ms overlap with the import of TensorFlow."""
    answers: list[dict[str, Any] | None] = []
    thread = threading.Thread(
        target=lambda: answers.append(run_environment.git(Path())), daemon=True
    )
    thread.start()

    def answer() -> dict[str, Any] | None:
        thread.join()
        return answers[0] if answers else None

    return answer
