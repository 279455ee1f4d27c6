"""Keras' home folder: its `keras.json` is not read, and data sets are still stored there.

When Keras is imported it reads `keras.json` in KERAS_HOME, which changes results and can make the
import fail. It keeps the folder in a private variable, for the data sets that it downloads. Needed
instead: no settings during the import, and the user's folder for data sets afterwards. This module
imports no Keras, as it acts around the first import.
Test that fails when Keras changes: tests/compat/test_keras_home.py:
test_keras_still_keeps_its_home_where_it_is_set.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from fitx.compat.required_names import demand


@contextmanager
def without_keras_settings(home: str) -> Iterator[None]:
    """Hide `keras.json` from an import of Keras, and set Keras' home folder afterwards."""
    before = os.environ.get("KERAS_HOME")
    os.environ["KERAS_HOME"] = os.devnull
    try:
        yield
    finally:
        os.environ.pop("KERAS_HOME")
        if before is not None:
            os.environ["KERAS_HOME"] = before
    if "keras" in sys.modules:
        config = sys.modules.get("keras.src.backend.config", sys.modules["keras"])
        demand(config, "_KERAS_DIR")
        vars(config)["_KERAS_DIR"] = home
    with suppress(OSError):
        # Keras would create it, and uses /tmp for data sets if it is missing.
        os.makedirs(home, exist_ok=True)
