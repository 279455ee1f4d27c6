"""One run, from where it stands to its end: loop, monitor, checkpoints, export and summary."""
