"""Splits, the order of rows, and the batches that `fit` reads."""
