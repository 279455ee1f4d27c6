"""Every use of a private name of Keras or TensorFlow, one file per use."""
