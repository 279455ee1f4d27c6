"""Finds the run to resume, and decides what may have changed since it was trained."""
