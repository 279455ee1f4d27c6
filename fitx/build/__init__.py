"""Builds experiments: the only package that makes networks, steps, optimizers and callbacks."""
