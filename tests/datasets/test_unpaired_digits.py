import numpy as np

from fitx.registry.registries import datasets


def test_test_rows_of_unpaired_digits_are_pairs_and_training_rows_are_not():
    splits, digits = datasets.get("unpaired_digits")(), datasets.get("digits")()
    train, test = splits["train"], splits["test"]
    assert (len(train), len(test)) == (718, 360)
    assert np.array_equal(test.x, digits["test"].x)
    for pixel, earlier in (((3, 4), (2, 3)), ((7, 1), (6, 0))):
        difference = test.x[:, *pixel] - test.x[:, *earlier]
        np.testing.assert_allclose(test.y[:, *pixel], 0.5 + difference / 2, atol=1e-6)
    assert np.array_equal(test.y[:, 0, 0], 0.5 + test.x[:, 0, 0] / 2)
    assert np.array_equal(train.x, digits["train"].x[:718])
    assert not np.allclose(train.y[:, 3, 4], 0.5 + (train.x[:, 3, 4] - train.x[:, 2, 3]) / 2)
    assert (train.y.min(), train.y.max()) == (0, 1)
