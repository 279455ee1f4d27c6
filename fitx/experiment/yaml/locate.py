"""Finds and reads the experiment file that the user named."""

from __future__ import annotations

import os
import stat
from functools import cache
from importlib import resources
from pathlib import Path

from fitx.experiment.problems import ConfigError, Problem, closest, nearest, shorten
from fitx.experiment.yaml.tree import Place, TextSource

MAX_BYTES = 1 << 20
SUFFIXES = (".yaml", ".yml")


@cache
def shipped() -> dict[str, Path]:
    """Return the shipped experiments by name: `guide/gan`, and `gan` if it is unambiguous."""
    root = Path(str(resources.files("fitx.configs")))
    files = {
        f.relative_to(root).with_suffix("").as_posix(): f for f in sorted(root.rglob("*.yaml"))
    }
    stems = [file.stem for file in files.values()]
    short = {file.stem: file for file in files.values() if stems.count(file.stem) == 1}
    return {**short, **files}


def complete(name: str, folder: Path = Path()) -> str:
    """Return a name with the suffix of its file added, if it was left out.

    Raises:
        ConfigError: Files with both suffixes exist.
    """
    path = folder / os.path.expanduser(name)
    files = _with_suffix(name, path)
    if path.is_file() or name in shipped() or not files:
        return name
    if len(files) > 1:
        raise _refused(name, f"both {' and '.join(files)} exist; name one of them.")
    return files[0]


def beside_shipped(name: str) -> str | None:
    """Return the user's file that the name of a shipped experiment hides, or None."""
    path = Path(name)
    files = _with_suffix(name, path) if name in shipped() and not path.is_file() else []
    return files[0] if files else None


def _with_suffix(name: str, path: Path) -> list[str]:
    """Return the names of existing experiment files that are a name plus a suffix."""
    if not path.name:
        return []
    return [f"{name}{s}" for s in SUFFIXES if path.with_name(f"{path.name}{s}").is_file()]


def locate(name: str, folder: Path = Path()) -> Path:
    """Return the file for a path, its suffix optional, or for the name of a shipped experiment."""
    try:
        name = complete(name, folder)
        path = folder / os.path.expanduser(name)
        if name in shipped() and not path.is_file():
            return shipped()[name]
        if not path.exists():
            raise _refused(name, f"there is no such file.{_nearest_file(name, path)}")
    except OSError as error:
        raise _refused(shorten(name), f"cannot be read: {error.strerror}.") from error
    return path


def read_text(name: str, path: Path) -> tuple[str, TextSource]:
    """Return the text of an experiment file, and its source for messages."""
    try:
        data = _read_bytes(name, path)
    except OSError as error:
        raise _refused(name, f"cannot be read: {error.strerror}.") from error
    return source(name, path, _decode(name, data))


def source(name: str, path: Path, text: str) -> tuple[str, TextSource]:
    """Return the text of a file, and its source for messages."""
    return text, TextSource(name, tuple(text.split("\n")), path.resolve().parent)


def _read_bytes(name: str, path: Path) -> bytes:
    # O_NONBLOCK: opening a FIFO would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        _refuse_odd_files(name, status)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_BYTES + 1)
    finally:
        os.close(descriptor)


def _refuse_odd_files(name: str, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise _refused(name, "is a folder; name a YAML file or a shipped experiment.")
    if not stat.S_ISREG(status.st_mode):
        raise _refused(name, "is not a regular file; name a YAML file.")
    if status.st_size > MAX_BYTES:
        size = f"{status.st_size / MAX_BYTES:.1f}"
        raise _refused(name, f"is {size} MiB large; an experiment file has at most 1 MiB.")


def _decode(name: str, data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise _refused(name, "is UTF-16 or UTF-32; save it as UTF-8.")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        lines = before.decode("utf-8", "replace").split("\n")
        place = Place(TextSource(name), len(lines), len(lines[-1]) + 1)
        text = f"byte 0x{data[error.start]:02X} is not UTF-8; save the file as UTF-8."
        raise ConfigError([Problem(place, (), text)]) from error


def _nearest_file(name: str, path: Path) -> str:
    try:
        siblings = [f.name for f in path.parent.iterdir() if f.suffix in (".yaml", ".yml")]
    except OSError:
        siblings = []
    close = closest(Path(name).name, siblings)
    if close is not None:
        return f" Did you mean '{Path(name).with_name(close)}'?"
    return nearest(name, shipped()) or " `fitx list config` names the shipped ones."


def _refused(name: str, text: str) -> ConfigError:
    return ConfigError([Problem(Place(TextSource(name)), (), text)])
