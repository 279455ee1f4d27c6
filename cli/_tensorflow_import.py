"""Prepares the import of TensorFlow and Keras: no outside settings, no messages, and faster."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

from fitx import external_settings
from fitx.stages import Stage

_KERAS_CONFIG = "keras.src.backend.config"


def prepare_tensorflow_import(*, verbose: bool) -> None:
    """Arrange how Keras and TensorFlow will be imported, be it by fitx or by a plugin.

    They see no settings from outside that would change results. Without `verbose`, their start-up
    messages are dropped. C++ code writes those straight to file descriptor 2, some whatever the
    logging level; an import that fails still raises.
    """
    external_settings.override()
    if not verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.meta_path.insert(0, _QuietFinder(verbose=verbose))


class _QuietFinder(MetaPathFinder):
    """Wraps the loader of whichever of the two packages is imported first."""

    def __init__(self, *, verbose: bool) -> None:
        self.verbose = verbose
        self.asks_others = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in ("keras", "tensorflow") or self.asks_others:
            return None
        self.asks_others = True
        try:
            spec = find_spec(fullname)
        finally:
            self.asks_others = False
        if spec is not None and spec.loader is not None:
            spec.loader = _QuietLoader(spec.loader, self)
        return spec


class _QuietLoader(Loader):
    """Runs a module as its own loader does, but quietly and without garbage collection."""

    def __init__(self, loader: Loader, finder: _QuietFinder) -> None:
        self.loader, self.finder = loader, finder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = module.__loader__ = self.loader
        # Keras imports TensorFlow, or the other way round; the outer import covers both.
        sys.meta_path.remove(self.finder)
        quietly = nullcontext() if self.finder.verbose else _descriptor_closed(2)
        with Stage("loading TensorFlow"), _keras_settings_unread(), _uncollected(), quietly:
            self.loader.exec_module(module)


@contextmanager
def _keras_settings_unread() -> Iterator[None]:
    """Keep Keras from reading `keras.json`, in which anything may stand, while it is imported.

    Setting its values back afterwards would come too late for a file that makes the import fail.
    Keras looks for the file in KERAS_HOME, and keeps that folder for the data sets that it
    downloads in a private variable, which is set to the right one.
    """
    before, home = os.environ.get("KERAS_HOME"), external_settings.keras_home()
    os.environ["KERAS_HOME"] = os.devnull
    try:
        yield
    finally:
        os.environ.pop("KERAS_HOME")
        if before is not None:
            os.environ["KERAS_HOME"] = before
    if _KERAS_CONFIG in sys.modules:
        vars(sys.modules[_KERAS_CONFIG])["_KERAS_DIR"] = home
    with suppress(OSError):
        # Keras makes it, and prefers /tmp for data sets where it is missing.
        os.makedirs(home, exist_ok=True)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector away from a large import, then and ever after.

    It would walk through the 300,000 objects of the modules again and again, while they are
    made and once more when the process ends, to find that all of them are in use.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def _descriptor_closed(descriptor: int) -> Iterator[None]:
    """Send what is written to a file descriptor nowhere."""
    sys.stderr.flush()
    kept = os.dup(descriptor)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    try:
        yield
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)
        os.close(nowhere)
