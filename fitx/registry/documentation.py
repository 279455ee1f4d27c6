"""Docstrings as a reader wants them: what Keras fills in when it is imported is filled in here."""

from __future__ import annotations

import ast
import inspect
import re

from fitx.registry import python_source
from fitx.registry.python_source import Found

_ARGUMENT = re.compile(r"\s+`?\*{0,2}(\w+)`?(?: \([^)]*\))?:\s*(.*)")
_SLOT = re.compile(r"\{\{(\w+)\}\}")
_DEFINED_IN = {"base_optimizer_keyword_args": "keras.src.optimizers.base_optimizer"}


def documentation(found: Found) -> str:
    """Return the docstring of a part, with the texts that Keras' own share."""
    doc = ast.get_docstring(found.node, clean=False) or ""
    return inspect.cleandoc(_SLOT.sub(lambda slot: _shared(slot[1]), doc)).strip()


def described(doc: str) -> dict[str, str]:
    """Return what a docstring says of each argument, on one line, by the argument's name."""
    section = re.search(r"^(?:Args|Arguments):\n((?:[ \t].*\n?|\n)*)", doc, re.MULTILINE)
    texts: dict[str, list[str]] = {}
    indent, lines = 0, section[1].splitlines() if section else []
    for line in lines:
        started = _ARGUMENT.match(line)
        depth = len(line) - len(line.lstrip())
        if started and (not texts or depth <= indent):
            indent, texts[started[1]] = depth, [started[2]]
        elif texts:
            texts[next(reversed(texts))].append(line.strip())
    return {name: " ".join(filter(None, parts)) for name, parts in texts.items()}


def _shared(name: str) -> str:
    """Return the text that stands for a slot; nothing where none is known."""
    file = python_source.file_of(_DEFINED_IN[name]) if name in _DEFINED_IN else None
    statements = python_source.read(file).tree.body if file is not None else []
    texts = [
        str(node.value.value).rstrip()
        for node in statements
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
        if isinstance(node.value, ast.Constant)
    ]
    return "".join(texts)
