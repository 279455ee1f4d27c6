"""Networks, one per file; the file's name is the model's name."""

from fitx.registry.shelf import models as _shelf

register = _shelf.register
