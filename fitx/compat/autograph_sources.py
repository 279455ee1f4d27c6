"""Keeps the code that AutoGraph generates in memory instead of in temporary files.

TensorFlow writes each function that it converts to a file of the temporary folder, imports it, and
removes the file when the interpreter ends: a process that is killed leaves all of its files behind.
No public setting changes that, so the function that writes and imports is replaced.
Test that fails when TensorFlow changes: tests/compat/test_autograph_sources.py:
test_tensorflow_still_imports_generated_code_by_load_source.
"""

from __future__ import annotations

import linecache
import sys
from importlib.abc import ExecutionLoader
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from itertools import count
from types import ModuleType

from tensorflow.python.autograph.pyct import loader as autograph

from fitx.compat.required_names import demand

demand(autograph, "load_source")

_NUMBERS = count()


def keep_in_memory() -> None:
    """Let TensorFlow import generated code without a file; may be called again."""
    autograph.load_source = _load_source


class _Generated(ExecutionLoader):
    """Imports source text that is in no file."""

    def __init__(self, source: str) -> None:
        self.source = source

    def get_source(self, fullname: str) -> str:
        return self.source

    def get_filename(self, fullname: str) -> str:
        return f"{fullname}.py"


def _load_source(source: str, delete_on_exit: bool) -> tuple[ModuleType, str]:
    """Import source text; return the module and the name of the file that it stands for."""
    name = f"__autograph_generated_file{next(_NUMBERS)}"
    loader = _Generated(source)
    file = loader.get_filename(name)
    # Tracebacks and `inspect` look here; an entry without a time is not compared with a file.
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    spec = ModuleSpec(name, loader, origin=file)
    spec.has_location = True
    module = module_from_spec(spec)
    loader.exec_module(module)
    sys.modules[name] = module
    return module, file
