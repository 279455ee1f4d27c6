"""Reads and checks experiment files, without TensorFlow."""
