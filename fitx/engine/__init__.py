"""Executes steps: one or many batches per call, by TensorFlow's kernels or as an XLA program.

Keras' `fit` remains the loop over epochs. It calls the functions made here, which run the step and
accumulate its returned values over the epoch in the graph; Python reads them only when needed.
"""
