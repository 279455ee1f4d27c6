"""Python source read as text: classes, functions, bases and imports, without running any of it."""

from __future__ import annotations

import ast
import importlib.util
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

Definition = ast.ClassDef | ast.FunctionDef


@dataclass(frozen=True)
class Module:
    """One parsed source file.

    Attributes:
        path: The file.
        tree: Its statements.
        imports: What a local name stands for: (module, attribute or '').
        definitions: The classes and functions that its names stand for in the end.
        defined: All of them, in their order; a name may have been given again.
    """

    path: Path
    tree: ast.Module
    imports: dict[str, tuple[str, str]]
    definitions: dict[str, Definition]
    defined: tuple[Definition, ...]


@dataclass(frozen=True)
class Found:
    """A class or function together with the module that defines it."""

    module: Module
    node: Definition

    @property
    def is_keras(self) -> bool:
        """Whether it is Keras' own."""
        keras = file_of("keras")
        return keras is not None and self.module.path.is_relative_to(keras.parent)


@cache
def read(path: Path) -> Module:
    """Parse a file of an installed package, once."""
    return parse(path)


def parse(path: Path) -> Module:
    """Parse a file. Raises SyntaxError, OSError or ValueError as `ast.parse` and `open` do."""
    text = path.read_text(encoding="utf-8")
    with warnings.catch_warnings(action="ignore"):
        tree = ast.parse(text, filename=str(path))
    nodes = list(_outer_statements(tree.body))
    defined = tuple(n for n in nodes if isinstance(n, ast.ClassDef | ast.FunctionDef))
    return Module(path, tree, dict(_imports(nodes)), {n.name: n for n in defined}, defined)


def find(module: Module, name: str) -> Found | None:
    """Find what a (possibly dotted) name in `module` refers to, following imports into files."""
    head, _, rest = name.partition(".")
    if not rest and head in module.definitions:
        return Found(module, module.definitions[head])
    if head not in module.imports:
        return None
    package, attribute = module.imports[head]
    target = ".".join(part for part in (attribute, rest) if part)
    return _find_in(package, target)


def family(found: Found, ends: Callable[[Found], bool] = lambda _: False) -> Iterator[Found]:
    """Yield a class and then its bases, nearest first, as far as their source can be found.

    Args:
        found: The class; a function is a family of its own.
        ends: Which bases are left out, with all of theirs.
    """
    waiting, seen = [found], set()
    while waiting:
        member = waiting.pop(0)
        if member.node in seen or ends(member):
            continue
        yield member
        seen.add(member.node)
        bases = member.node.bases if isinstance(member.node, ast.ClassDef) else []
        parents = [find(member.module, ast.unparse(base)) for base in bases]
        waiting = [*filter(None, parents), *waiting]


def method(found: Found, name: str) -> ast.FunctionDef | None:
    """Return the function called `name` in the body of a class, bases left out."""
    body = found.node.body if isinstance(found.node, ast.ClassDef) else []
    return next((n for n in body if isinstance(n, ast.FunctionDef) and n.name == name), None)


@cache
def file_of(module: str) -> Path | None:
    """Return the file of a module by its dotted name, importing none but its top package's path."""
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


def _find_in(package: str, target: str) -> Found | None:
    """Find `target` in the sub-module that its first word names, or in the package itself."""
    head, _, rest = target.partition(".")
    if rest and file_of(f"{package}.{head}") is not None:
        return _find_in(f"{package}.{head}", rest)
    file = file_of(package)
    module = read(file) if file is not None and target else None
    if module is None or module.imports.get(head) == (package, head):
        return None
    return find(module, target)


def _outer_statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield a module's statements; of an `if` chain the first branch, TensorFlow's in Keras."""
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
