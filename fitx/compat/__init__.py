"""Private names of Keras and TensorFlow: one file per use, each with a test."""
