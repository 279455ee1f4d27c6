"""Training algorithms, one per file; the file's name is the step's name."""

from fitx.registry.registries import steps as _registry

register = _registry.register
