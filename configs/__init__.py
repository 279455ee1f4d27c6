"""Shipped experiments, `<topic>/<name>.yaml`."""
