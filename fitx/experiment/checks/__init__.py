"""Checks of an experiment, without TensorFlow."""
