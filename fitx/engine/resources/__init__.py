"""State of TensorFlow outside of variables, saved with a checkpoint or reported."""
