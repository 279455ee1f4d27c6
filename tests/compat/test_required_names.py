"""A Keras or TensorFlow without a private name that fitx uses is refused."""

from importlib.metadata import version

import keras
import pytest
from keras.src.losses import loss

from fitx.compat.required_names import demand
from fitx.errors import DeviceError


def test_a_name_that_is_missing_is_refused_with_the_version_to_install():
    with pytest.raises(DeviceError) as error:
        demand(loss, "reduce_values", "scale_for_replicas")

    assert str(error.value) == (
        f"keras {version('keras')} has no scale_for_replicas in keras.src.losses.loss, which "
        "fitx needs; run `pip install 'keras<3.16,>=3.15.1'`."
    )


def test_an_attribute_of_a_class_is_named_with_its_class():
    with pytest.raises(DeviceError, match=r"no _sum in keras\.src\.\S+\.Adam, which"):
        demand(keras.optimizers.Adam, "apply", "_sum")


def test_names_that_are_there_are_taken():
    demand(keras.optimizers.Adam, "apply")
