"""Callbacks, one per file; the file's name is the callback's name."""

from fitx.registry.registries import callbacks as _registry

register = _registry.register
