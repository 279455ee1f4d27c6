"""Where a run comes from: its files as they were given, and the commit they stood in."""

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
    """What `look` found.

    Args:
        files: The content of each file.
        git: Returns what `environment.git` says of the working directory; may have to wait.
    """

    files: dict[Path, bytes]
    git: Git

    def sha256(self, file: Path) -> str:
        """Return the hash of one file's content, as `plugins.sha256` does."""
        return hashlib.sha256(self.files[file]).hexdigest()

    def copy(self, folder: Path) -> dict[Path, Path]:
        """Write every file into a folder, two of one name under numbers; return the copies.

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


def look(files: Iterable[Path]) -> Provenance:
    """Read the files of an experiment that was just loaded, and ask git about its folder.

    At once, because the user may edit them while TensorFlow is being imported, and the run folder
    is to hold what is trained.

    Raises:
        StorageError: A file cannot be read any more.
    """
    return Provenance({file: read_regular(file) for file in dict.fromkeys(files)}, _ask_git())


def _ask_git() -> Git:
    """Ask git in the background: the 10 to 30 ms it takes pass while TensorFlow is imported."""
    answers: list[dict[str, Any] | None] = []
    thread = threading.Thread(
        target=lambda: answers.append(run_environment.git(Path())), daemon=True
    )
    thread.start()

    def answer() -> dict[str, Any] | None:
        thread.join()
        return answers[0] if answers else None

    return answer
