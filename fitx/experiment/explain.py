"""pydantic's errors, said in the words of the experiment file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from fitx.experiment.load import Document
from fitx.experiment.options import accepted, batch_options
from fitx.experiment.problems import Problem, describe, listed, nearest
from fitx.experiment.schema import SECTIONS, Settings
from fitx.experiment.tree import Node, Path, dotted
from fitx.registry.catalogue import Catalogue

_EXPECTED = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a string",
    "list_type": "a list",
    "tuple_type": "a list",
    "sequence_type": "a list",
    "is_instance_of": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "none_required": "null",
    "finite_number": "a finite number",
    "path_type": "a path",
}
_BOUNDS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_PARTS = {"model": "model", "optimizer": "optimizer", "step": "step", "data": "dataset"}
_PARTS |= {"loss": "loss", "networks": "model", "optimizers": "optimizer"}


def explain(error: ValidationError, document: Document, catalogue: Catalogue) -> list[Problem]:
    """Return a problem for every key that an error is about, with the place it is written."""
    by_path: dict[Path, list[Any]] = {}
    for item in error.errors():
        by_path.setdefault(_written_path(item, document.tree), []).append(item)
    return [
        Problem(document.place(path), path, _text(path, items, document, catalogue))
        for path, items in by_path.items()
    ]


def _written_path(item: Any, tree: Node) -> Path:
    """Return the part of pydantic's location that is a path of the file."""
    location: Path = tuple(item["loc"])
    if item["type"] in ("missing", "missing_option"):
        return location
    length = 0
    while length < len(location) and tree.at(location[: length + 1]) is not None:
        length += 1
    return location[:length]


def _text(path: Path, items: list[Any], document: Document, catalogue: Catalogue) -> str:
    item = items[0]
    if item["type"] == "extra_forbidden":
        return _unknown_key(path, document, catalogue)
    if item["type"] == "unknown_option":
        return str(item["msg"]) + _home(path, document, catalogue, item["msg"])
    if item["type"] in ("unknown_part", "missing_option"):
        return str(item["msg"])
    node = document.tree.at(path)
    expected = " or ".join(dict.fromkeys(_expected(i) for i in items))
    found = describe(node.plain()) if node is not None and node.raw is None else _raw(node)
    return f"expected {expected}, found {found}{_hint(node, items)}."


def _expected(item: Any) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        return f"{words} {context[key]}"
    if kind == "literal_error":
        return str(context["expected"]).replace("'", "")
    if kind in ("too_short", "too_long"):
        words = "at least" if kind == "too_short" else "at most"
        return f"{words} {context.get('min_length', context.get('max_length'))} items"
    return _EXPECTED.get(kind) or str(item["msg"]).removeprefix("expected ")


def _raw(node: Node | None) -> str:
    """Name a value that came from the environment by its reference: it may be a secret."""
    return f"what {node.raw} stands for" if node is not None and node.raw else "nothing"


def _hint(node: Node | None, items: list[Any]) -> str:
    if node is None or not isinstance(node.value, str) or node.raw is not None:
        return ""
    wants_number = any(i["type"] in ("int_type", "float_type") for i in items)
    if wants_number and not node.is_plain and node.value.replace(".", "").isdigit():
        return "; remove the quotes"
    wants_bool = any(i["type"] == "bool_type" for i in items)
    return "; write true or false" * (wants_bool and node.value in ("yes", "no", "on", "off"))


def _unknown_key(path: Path, document: Document, catalogue: Catalogue) -> str:
    section = SECTIONS.get(str(path[0])) if len(path) > 1 else Settings
    known = [*section.model_fields, *(["extends"] if len(path) == 1 else [])] if section else []
    key = str(path[-1])
    home = _home(path, document, catalogue)
    where = f"in {dotted(path[:-1])}" if path[:-1] else "at the top level"
    hint = home or nearest(key, known) or f" Known: {listed(known, 20)}."
    return f"unknown key '{key}' {where}.{hint}"


def _home(path: Path, document: Document, catalogue: Catalogue, said: str = "") -> str:
    """Say where else in the experiment a key of this name, or nearly this name, belongs."""
    homes = dict(_homes(document, catalogue))
    key = str(path[-1])
    if key in homes and homes[key] != dotted(path):
        return f" It belongs at {homes[key]}."
    if "Did you mean" in said or len(path) == 1:
        return ""
    close = nearest(key, homes)
    name = close.partition("'")[2].partition("'")[0]
    return f" Did you mean {homes[name]}?" if name and homes[name] != dotted(path) else ""


def _homes(document: Document, catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    """Yield (key, dotted path) of every key that this experiment could hold; the best last."""
    for path, kind, name in _named_parts(document.tree):
        signature = catalogue.signature(kind, name)
        for parameter in accepted(signature) if signature else ():
            yield parameter.name, f"{dotted(path)}.{parameter.name}"
    yield from ((p.name, f"data.{p.name}") for p in batch_options())
    for section, model in SECTIONS.items():
        yield from _keys(model, f"{section}.")
    yield from _keys(Settings, "")


def _keys(model: type[BaseModel], prefix: str) -> Iterable[tuple[str, str]]:
    return ((key, prefix + key) for key in model.model_fields)


def _named_parts(tree: Node) -> Iterator[tuple[Path, str, str]]:
    for key, kind in reversed(_PARTS.items()):
        node = tree.at((key,))
        if key in ("networks", "optimizers") and node and isinstance(node.value, dict):
            for name, part in node.value.items():
                yield from _named((key, name), kind, part)
        elif node:
            yield from _named((key,), kind, node)


def _named(path: Path, kind: str, node: Node) -> Iterator[tuple[Path, str, str]]:
    name = node.value.get("name") if isinstance(node.value, dict) else node
    if name is not None and isinstance(name.value, str):
        yield path, kind, name.value
