"""Everything that a checkpoint holds, taken from a step and restored to it."""
