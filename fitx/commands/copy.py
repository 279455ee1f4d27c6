"""Copies shipped experiments and parts, for the user to change."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from fitx.errors import StorageError, UsageError
from fitx.experiment.json_schema import json_schema
from fitx.experiment.problems import nearest
from fitx.experiment.yaml.load import load
from fitx.experiment.yaml.locate import shipped
from fitx.registry.part_index import PartIndex
from fitx.registry.registries import REGISTRIES
from fitx.stages import Stage

SCHEMA = "fitx.schema.json"
"""The file next to an experiment that holds its JSON Schema for editors."""

SCHEMA_LINE = f"# yaml-language-server: $schema={SCHEMA}\n"


def copy(name: str, destination: Path | None) -> list[Path]:
    """Copy a shipped experiment with the files it extends, or the file of a part.

    The JSON Schema is written next to an experiment. No file is overwritten.

    Returns:
        The written files.

    Raises:
        UsageError: Nothing shipped has this name, or a file exists already.
        StorageError: A file cannot be written.
    """
    files = _files(name)
    first = _destination(_copy_name(files[0]), destination)
    targets = [first, *(first.parent / file.name for file in files[1:])]
    for target in targets:
        if target.exists():
            raise UsageError(f"{target} exists; name another file. Nothing was written.")
    for file, target in zip(files, targets, strict=True):
        _copy(file, target)
    schema = first.parent / SCHEMA
    if files[0].suffix == ".py" or schema.exists():
        return targets
    with Stage(f"writing {schema.name}"):
        _write_new(schema, _schema_text())
    return [*targets, schema]


@cache
def _schema_text() -> str:
    return json.dumps(json_schema(PartIndex()), indent=1) + "\n"


def _files(name: str) -> tuple[Path, ...]:
    if name in shipped():
        return load(name).files
    kind, _, word = name.rpartition("/")
    for registry in REGISTRIES.values():
        if kind in ("", registry.kind) and word in registry.files():
            return (registry.files()[word],)
    names = [*shipped(), *(part for registry in REGISTRIES.values() for part in registry.files())]
    hint = nearest(name, names) or " `fitx list` lists all names."
    raise UsageError(f"nothing shipped is called '{name}'.{hint}")


def _copy_name(file: Path) -> str:
    """Return the name of a copy; that of a part differs, because parts are named by their files."""
    return file.name if file.suffix == ".yaml" else f"my_{file.name}"


def _destination(name: str, destination: Path | None) -> Path:
    if destination is None:
        return Path(name)
    return destination / name if destination.is_dir() else destination


def _copy(file: Path, target: Path) -> None:
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".yaml":
        text = SCHEMA_LINE + text
    _write_new(target, text)


def _write_new(target: Path, text: str) -> None:
    try:
        with target.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error.strerror}.") from error
