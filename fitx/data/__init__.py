"""From arrays to batches: splits, order, weights, and the pipeline `fit` reads."""
