"""Shipped experiments and parts, copied out for the user to change."""

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
"""The file beside an experiment in which editors find its JSON Schema."""

SCHEMA_LINE = f"# yaml-language-server: $schema={SCHEMA}\n"


def copy(name: str, destination: Path | None) -> list[Path]:
    """Copy a shipped experiment, with what it extends, or a part's file; overwrite nothing.

    The JSON Schema that an experiment names is written beside it, unless one is there.

    Returns:
        The files that were written.

    Raises:
        UsageError: Nothing is called so, or a file is in the way.
        StorageError: A file cannot be written.
    """
    files = _files(name)
    first = _destination(_own_name(files[0]), destination)
    targets = [first, *(first.parent / file.name for file in files[1:])]
    for target in targets:
        if target.exists():
            raise UsageError(f"{target} exists; name another file, nothing was written.")
    for file, target in zip(files, targets, strict=True):
        _write(file, target)
    schema = first.parent / SCHEMA
    if files[0].suffix == ".py" or schema.exists():
        return targets
    with Stage(f"writing {schema.name}"):
        _put(schema, _schema_text())
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
    known = [*shipped(), *(part for registry in REGISTRIES.values() for part in registry.files())]
    hint = nearest(name, known) or " `fitx list` names all."
    raise UsageError(f"nothing shipped is called '{name}'.{hint}")


def _own_name(file: Path) -> str:
    """Return what a copy is called: a part's name is its file's, and that one is taken."""
    return file.name if file.suffix == ".yaml" else f"my_{file.name}"


def _destination(name: str, destination: Path | None) -> Path:
    if destination is None:
        return Path(name)
    return destination / name if destination.is_dir() else destination


def _write(file: Path, target: Path) -> None:
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".yaml":
        text = SCHEMA_LINE + text
    _put(target, text)


def _put(target: Path, text: str) -> None:
    try:
        with target.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error.strerror}.") from error
