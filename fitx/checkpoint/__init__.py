"""Checkpoints of runs: written atomically, and verified when read."""

from fitx.checkpoint.store import Check, Newest, load, newest, save, verify

__all__ = ["Check", "Newest", "load", "newest", "save", "verify"]
