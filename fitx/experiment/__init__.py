"""From a YAML file to a checked Experiment, without TensorFlow."""
