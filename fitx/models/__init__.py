"""Networks, one per file; the file's name is the model's name."""

from fitx.registry.registries import models as _registry

register = _registry.register
