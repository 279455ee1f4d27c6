"""Checks of a built and traced step, before a run folder exists."""
