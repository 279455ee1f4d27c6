"""Keras' home folder."""

import keras.src.backend.config as config
import pytest

from fitx.compat.keras_home import without_keras_settings
from fitx.errors import DeviceError


def test_keras_still_keeps_its_home_where_it_is_set(monkeypatch, tmp_path):
    monkeypatch.setattr(config, "_KERAS_DIR", "elsewhere")
    home = tmp_path / "home"
    with without_keras_settings(str(home)):
        pass
    assert config.keras_home() == str(home)
    assert home.is_dir()


def test_a_keras_without_that_variable_is_refused(monkeypatch, tmp_path):
    monkeypatch.delattr(config, "_KERAS_DIR")
    message = "has no _KERAS_DIR in keras.src.backend.config"
    with pytest.raises(DeviceError, match=message), without_keras_settings(str(tmp_path)):
        pass
