"""The function by which AutoGraph imports the code that it generates."""

import inspect
import os

import tensorflow as tf
from tensorflow.python.autograph.pyct import loader

from fitx.compat.autograph_sources import keep_in_memory


def test_tensorflow_still_imports_generated_code_by_load_source(monkeypatch):
    loaded = []
    monkeypatch.setattr(loader, "load_source", loader.load_source)
    keep_in_memory()
    in_memory = loader.load_source
    monkeypatch.setattr(loader, "load_source", lambda *a: loaded.append(a) or in_memory(*a))

    converted = tf.autograph.to_graph(incremented)

    assert len(loaded) == 1
    assert list(inspect.signature(in_memory).parameters) == ["source", "delete_on_exit"]
    assert int(converted(tf.constant(2))) == 3
    assert not os.path.exists(in_memory("value = 3", True)[1])


def incremented(x):
    return x + 1 if x > 1 else x
