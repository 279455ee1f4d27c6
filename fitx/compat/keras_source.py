"""Modules in which Keras' source text is read, so that names are known without importing Keras.

Public modules list Keras' parts by name. Their short names, such as `mse`, stand only in
dictionaries of private packages; the names that are resolved by shapes, such as `accuracy`, in
functions of another; and texts that several docstrings share in a third.
Tests that fail when Keras changes: tests/compat/test_keras_source.py:
test_keras_still_keeps_short_names_in_dictionaries,
test_keras_still_resolves_names_by_shapes_in_compile_utils and
test_keras_still_shares_texts_of_docstrings_by_constants.
"""

from __future__ import annotations

SHORT_NAMES = {
    "loss": "keras.src.losses",
    "metric": "keras.src.metrics",
    "regularizer": "keras.src.regularizers",
    "initializer": "keras.src.initializers",
}
"""By kind of part, the package with the dictionary of its short names."""

RESOLVED_BY_SHAPE = {
    "loss": ("keras.src.trainers.compile_utils", "get_loss"),
    "metric": ("keras.src.trainers.compile_utils", "get_metric"),
}
"""By kind of part, the module and the function that resolves a name by shapes."""

SHARED_TEXTS = {"base_optimizer_keyword_args": "keras.src.optimizers.base_optimizer"}
"""By the name of a slot in docstrings, the module with the constant that fills it."""
