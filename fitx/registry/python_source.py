"""Classes, functions, docstrings and imports of Python files, read without running them."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fitx.compat.keras_source import SHARED_TEXTS

DefinitionNode = ast.ClassDef | ast.FunctionDef

_ARGUMENT = re.compile(r"\s+`?\*{0,2}(\w+)`?(?: \([^)]*\))?:\s*(.*)")
_SLOT = re.compile(r"\{\{(\w+)\}\}")
"""A slot in a docstring of Keras, such as `{{base_optimizer_keyword_args}}`."""


@dataclass(frozen=True, eq=False)
class Module:
    """One parsed source file; equal only to itself, so that it can be a key of a cache.

    Attributes:
        path: The file.
        tree: Its statements.
        imports: (module, attribute or '') by local name.
        definitions: Classes and functions by name; of several with one name, the last.
        defined: All classes and functions, in the order of the file.
    """

    path: Path
    tree: ast.Module
    imports: dict[str, tuple[str, str]]
    definitions: dict[str, DefinitionNode]
    defined: tuple[DefinitionNode, ...]


@dataclass(frozen=True)
class Definition:
    """A class or function, and the module that defines it."""

    module: Module
    node: DefinitionNode

    @property
    def is_keras(self) -> bool:
        """Keras defines it."""
        keras = file_of("keras")
        return keras is not None and self.module.path.is_relative_to(keras.parent)


@cache
def read(path: Path) -> Module:
    """Parse a file of an installed package; the result is cached."""
    return parse(path)


def parse(path: Path) -> Module:
    """Parse a file. Raises SyntaxError, OSError or ValueError as `ast.parse` and `open` do."""
    text = path.read_text(encoding="utf-8")
    with warnings.catch_warnings(action="ignore"):
        tree = ast.parse(text, filename=str(path))
    nodes = list(_outer_statements(tree.body))
    defined = tuple(n for n in nodes if isinstance(n, ast.ClassDef | ast.FunctionDef))
    return Module(path, tree, dict(_imports(nodes)), {n.name: n for n in defined}, defined)


def imported_neighbours(path: Path) -> list[Path]:
    """Return the files in the folder of a plugin that it imports, in the order of the imports.

    A neighbour counts more than an installed module of the same name, as in a script, but not
    more than one of Python's own.
    """
    names: dict[str, None] = {}
    for node in ast.walk(parse(path).tree):
        if isinstance(node, ast.Import):
            names.update((alias.name.partition(".")[0], None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names[node.module.partition(".")[0]] = None
    files = (path.with_name(f"{n}.py") for n in names if n not in sys.stdlib_module_names)
    return [file for file in files if file.is_file() and file != path]


def find(module: Module, name: str) -> Definition | None:
    """Find what a name in `module`, dotted or not, refers to; follow imports into files."""
    head, _, rest = name.partition(".")
    if not rest and head in module.definitions:
        return Definition(module, module.definitions[head])
    if head not in module.imports:
        return None
    package, attribute = module.imports[head]
    target = ".".join(part for part in (attribute, rest) if part)
    return _find_in(package, target)


def class_and_bases(
    definition: Definition, ends: Callable[[Definition], bool] = lambda _: False
) -> Iterator[Definition]:
    """Yield a class and then its bases, nearest first, as far as their source can be found.

    Args:
        definition: The class; of a function, only the function is yielded.
        ends: Tells which bases are left out, together with their own bases.
    """
    to_visit, seen = [definition], set()
    while to_visit:
        current = to_visit.pop(0)
        if current.node in seen or ends(current):
            continue
        yield current
        seen.add(current.node)
        bases = current.node.bases if isinstance(current.node, ast.ClassDef) else []
        parents = [find(current.module, ast.unparse(base)) for base in bases]
        to_visit = [*filter(None, parents), *to_visit]


def method(definition: Definition, name: str) -> ast.FunctionDef | None:
    """Return the method called `name` that a class itself defines; bases are not searched."""
    body = definition.node.body if isinstance(definition.node, ast.ClassDef) else []
    return next((n for n in body if isinstance(n, ast.FunctionDef) and n.name == name), None)


@cache
def file_of(module: str) -> Path | None:
    """Return the file of a module by its dotted name; nothing is imported."""
    top, _, rest = module.partition(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    for folder in (spec.submodule_search_locations if spec else None) or []:
        path = Path(folder, *rest.split(".")) if rest else Path(folder)
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None


def docstring(definition: Definition) -> str:
    """Return the docstring of a definition; slots that Keras fills on import are filled."""
    doc = ast.get_docstring(definition.node, clean=False) or ""
    return inspect.cleandoc(_SLOT.sub(lambda slot: _slot_text(slot[1]), doc)).strip()


def argument_descriptions(doc: str) -> dict[str, str]:
    """Return the description of each argument in a docstring, on one line, by name."""
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


def _find_in(package: str, target: str) -> Definition | None:
    """Find a dotted name in the sub-module that its first word names, or in the package itself."""
    head, _, rest = target.partition(".")
    if rest and file_of(f"{package}.{head}") is not None:
        return _find_in(f"{package}.{head}", rest)
    file = file_of(package)
    module = read(file) if file is not None and target else None
    if module is None or module.imports.get(head) == (package, head):
        return None
    return find(module, target)


def _outer_statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module; of an `if` or `try`, those of its first branch.

    In Keras' own source the first branch is the one for TensorFlow.
    """
    for node in body:
        if isinstance(node, ast.If | ast.Try):
            yield from _outer_statements(node.body)
        else:
            yield node


def _imports(nodes: list[ast.stmt]) -> Iterator[tuple[str, tuple[str, str]]]:
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield alias.asname or alias.name, (node.module, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                yield alias.asname or top, (alias.name if alias.asname else top, "")


def _slot_text(name: str) -> str:
    """Return the text for a slot; '' where Keras has none."""
    file = file_of(SHARED_TEXTS[name]) if name in SHARED_TEXTS else None
    statements = read(file).tree.body if file is not None else []
    texts = [
        str(node.value.value).rstrip()
        for node in statements
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
        if isinstance(node.value, ast.Constant)
    ]
    return "".join(texts)
