"""Train Keras models with your own training algorithm, from a YAML file."""
