import numpy as np

from fitx.data.splits import Split, data_signature

X = np.zeros((3, 8, 8, 1), np.float32)


def test_shapes_are_those_of_one_row():
    found = data_signature({"train": Split(X, np.array([0, 2, 1]))})
    assert found["input_shape"] == found["image_shape"] == (8, 8, 1)
    assert all(type(side) is int for side in found["input_shape"])
    assert data_signature({"train": Split(np.zeros(3))})["input_shape"] == ()
