"""Image sets that Keras downloads, shared by `mnist`, `fashion_mnist` and `cifar10`."""

import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fitx.data import images
from fitx.data.splits import Split, Splits
from fitx.errors import DataError

_TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class ImageArchive:
    """The origin of an image set, and its place in Keras' cache.

    Args:
        name: As fitx and keras.datasets call it.
        load: keras.datasets' `load_data`.
        files: URL by the file's path under `datasets/` of Keras' cache folder.
    """

    name: str
    load: Callable[[], Any]
    files: dict[str, str]


def load(archive: ImageArchive, image_size: int | None) -> Splits:
    """Return the set's splits 'train' and 'test', downloaded unless Keras has it in its cache.

    Raises:
        DataError: The files are missing and cannot be downloaded; with the files and their places.
    """
    try:
        with _prints_to_stderr(), _timeout(_TIMEOUT_SECONDS):
            train, test = archive.load()
    except Exception as error:
        # Keras raises a bare Exception when it cannot download.
        raise DataError(_problem(archive, error)) from error
    return {"train": _split(train, image_size), "test": _split(test, image_size)}


def _split(arrays: tuple[np.ndarray, np.ndarray], image_size: int | None) -> Split:
    x, y = arrays
    if x.ndim == 3:
        x = x[..., np.newaxis]
    scaled = images.scale(x.astype(np.float32) / np.float32(255), image_size)
    return Split(scaled, y.reshape(-1).astype(np.int32))


def _problem(archive: ImageArchive, error: Exception) -> str:
    folder = _cache() / "datasets"
    missing = [file for file in archive.files if not (folder / file).exists()]
    if not missing:
        paths = ", ".join(str(folder / file) for file in archive.files)
        return (
            f"{archive.name}: the files in Keras' cache cannot be read ({error}); to download them "
            f"anew, delete {paths}."
        )
    instructions = "\n".join(f"  {archive.files[file]}\n  as {folder / file}" for file in missing)
    return (
        f"{archive.name}: {', '.join(missing)} is not in {folder}, and downloading failed "
        f"({error}).\nWhere there is a network, fetch\n{instructions}"
    )


def _cache() -> Path:
    """Return Keras' cache folder, found as `keras.utils.get_file` finds it."""
    folder = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    if os.access(folder, os.W_OK):
        return folder
    shared = Path("/tmp")
    return (shared if shared.is_dir() else Path(tempfile.gettempdir())) / ".keras"


@contextmanager
def _prints_to_stderr() -> Iterator[None]:
    """Keep Keras' download messages out of stdout, which is for results."""
    with redirect_stdout(sys.stderr):
        yield


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    """Give up on a network that never answers; Keras itself would wait forever."""
    previous_timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(previous_timeout)
