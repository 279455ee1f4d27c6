"""Datasets, one per file; the file's name is the dataset's name."""

from fitx.registry.registries import datasets as _registry

register = _registry.register
