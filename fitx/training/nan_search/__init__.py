"""Finds the first operation of a diverged training that gave NaN or infinity."""
