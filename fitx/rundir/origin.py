"""Where a run comes from: its files as they were given, and the commit they stood in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fitx.rundir.environment import GitQuestion, start_git
from fitx.rundir.files import read_regular, storage_errors


@dataclass(frozen=True)
class Origin:
    """What `look` found.

    Args:
        files: The content of each file.
        git: The question which commit is checked out; its answer comes later.
    """

    files: dict[Path, bytes]
    git: GitQuestion

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
            with storage_errors("write", copy):
                copy.write_bytes(content)
            copies[file] = copy
        return copies


def look(files: Iterable[Path]) -> Origin:
    """Read the files of an experiment that was just loaded, and ask git about its folder.

    At once, because the user may edit them while TensorFlow is being imported, and the run folder
    is to hold what is trained.

    Raises:
        StorageError: A file cannot be read any more.
    """
    return Origin({file: read_regular(file) for file in dict.fromkeys(files)}, start_git(Path()))
