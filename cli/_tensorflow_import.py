"""Prepares the import of TensorFlow and Keras: no outside settings, no messages, and faster."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

from fitx import external_settings
from fitx.compat.keras_home import without_keras_settings
from fitx.stages import Stage


def prepare_tensorflow_import(*, verbose: bool) -> None:
    """Prepare the first import of Keras or TensorFlow, by fitx or by a plugin.

    Settings from outside that would change results are removed. Without `verbose`, start-up
    messages are dropped: C++ code writes them to file descriptor 2, some at any logging level. An
    import that fails still raises.
    """
    external_settings.override()
    if not verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.meta_path.insert(0, _TensorFlowFinder(verbose=verbose))


class _TensorFlowFinder(MetaPathFinder):
    """Replaces the loader of Keras or TensorFlow, whichever is imported first."""

    def __init__(self, *, verbose: bool) -> None:
        self.verbose = verbose
        self.is_searching = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in ("keras", "tensorflow") or self.is_searching:
            return None
        self.is_searching = True
        try:
            spec = find_spec(fullname)
        finally:
            self.is_searching = False
        if spec is not None and spec.loader is not None:
            spec.loader = _TensorFlowLoader(spec.loader, self)
        return spec


class _TensorFlowLoader(Loader):
    """Runs a module by its own loader, without messages and without garbage collection."""

    def __init__(self, loader: Loader, finder: _TensorFlowFinder) -> None:
        self.loader, self.finder = loader, finder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = module.__loader__ = self.loader
        # Keras imports TensorFlow, or TensorFlow Keras: this first import includes both.
        sys.meta_path.remove(self.finder)
        quiet = nullcontext() if self.finder.verbose else _silent_descriptor(2)
        settings = without_keras_settings(external_settings.keras_home())
        with Stage("loading TensorFlow"), settings, _without_garbage_collection(), quiet:
            self.loader.exec_module(module)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Exclude what is imported from garbage collection, now and later.

    The collector would walk through 300,000 objects again and again during the import, and once
    more at the end of the process, although all of them stay in use.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def _silent_descriptor(descriptor: int) -> Iterator[None]:
    """Discard what is written to a file descriptor."""
    sys.stderr.flush()
    original = os.dup(descriptor)
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, descriptor)
    try:
        yield
    finally:
        os.dup2(original, descriptor)
        os.close(original)
        os.close(devnull)
