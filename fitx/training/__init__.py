"""Trains one run to its end: loop, monitor, checkpoints, export and summary."""
