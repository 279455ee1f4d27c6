"""Functions that Keras' `fit` and `evaluate` call for each chunk of batches."""
