import keras
import numpy as np
import pytest
import tensorflow as tf

from fitx.errors import StorageError, UsageError
from fitx.registry.registries import callbacks, models

SampleGrid = callbacks.get("sample_grid")


class Noise(keras.layers.Layer):
    """Random even in inference, as in StyleGAN."""

    def __init__(self):
        super().__init__()
        self.seed = keras.random.SeedGenerator(1)

    def call(self, x):
        return x + 0.01 * keras.random.normal(keras.ops.shape(x), seed=self.seed)


SCALE = 7
"""Factor by which images of 4x5 pixels are enlarged, to 28x35."""


def tiles(picture, rows, columns):
    """The images of a grid, which is made of images of 4x5 pixels with gaps of 2."""
    for number in range(rows * columns):
        top, left = 2 + number // columns * 30, 2 + number % columns * 37
        yield picture[top : top + 28, left : left + 35].astype(float)


def enlarged(image):
    return image.repeat(SCALE, axis=0).repeat(SCALE, axis=1)


class Step(keras.Model):
    def __init__(self, generator):
        super().__init__()
        self.generator = generator

    def call(self, x):
        return self.generator(x)


def small(channels=1):
    """A generator whose pictures depend on the latent vector and on training."""
    layers = [keras.Input((3,)), keras.layers.Dense(4 * 5 * channels, activation="sigmoid")]
    return keras.Sequential([*layers, keras.layers.Reshape((4, 5, channels))])


def train(grid, generator, epochs=1, learning_rate=0.1, kind=Step):
    step = kind(generator)
    step.compile(keras.optimizers.SGD(learning_rate), "mse")
    x, y = np.ones((8, 3), np.float32), np.ones((8, *generator.output_shape[1:]), np.float32)
    step.fit(x, y, epochs=epochs, callbacks=[grid], verbose=0)
    return step


def pictures(folder):
    paths = sorted(folder.iterdir())
    return [path.name for path in paths], [
        tf.io.decode_png(path.read_bytes()).numpy() for path in paths
    ]


@pytest.mark.parametrize("channels", [1, 3])
def test_each_epoch_leaves_a_picture(tmp_path, channels):
    train(SampleGrid(tmp_path, rows=2, columns=3), small(channels), epochs=2)
    names, images = pictures(tmp_path)
    assert names == ["epoch-0001.png", "epoch-0002.png"]
    # Images of 28x35 with gaps of 2 between and around them.
    assert [image.shape for image in images] == [(2 * 30 + 2, 3 * 37 + 2, channels)] * 2
    assert (images[0] != images[1]).any()


def test_every_so_many_epochs_are_drawn(tmp_path):
    train(SampleGrid(tmp_path, every=2), small(), epochs=5)
    assert pictures(tmp_path)[0] == ["epoch-0002.png", "epoch-0004.png"]


def test_latent_vectors_stay_and_follow_from_the_seed(tmp_path):
    generator = small()
    seen = {}
    for name, seed, epochs in ("first", 0, 2), ("again", 0, 1), ("other", 1, 1):
        (tmp_path / name).mkdir()
        train(SampleGrid(tmp_path / name, seed=seed), generator, epochs, learning_rate=0.0)
        seen[name] = pictures(tmp_path / name)[1]
    assert (seen["first"][0] == seen["first"][1]).all()
    assert (seen["first"][0] == seen["again"][0]).all()
    assert (seen["first"][0] != seen["other"][0]).any()


def test_images_stand_in_rows(tmp_path):
    grid = SampleGrid(tmp_path, rows=2, columns=3)
    step = train(grid, small())
    drawn = step.generator(keras.random.normal((6, 3), seed=0)).numpy()
    picture = pictures(tmp_path)[1][0]
    for image, tile in zip(drawn, tiles(picture, 2, 3), strict=True):
        np.testing.assert_allclose(tile, enlarged(image) * 255, atol=0.51)


class Negatives(Step):
    """A step that draws by itself."""

    def __init__(self, generator):
        super().__init__(generator)
        self.seed_generator = keras.random.SeedGenerator(1)

    def sample_images(self, examples, seed):
        noise = keras.random.uniform(tf.shape(examples), seed=self.seed_generator)
        return 1 - examples + 0 * noise + 0 * seed


def test_a_step_draws_by_itself_one_image_per_example(tmp_path):
    examples = np.random.default_rng(0).random((2, 4, 5, 1), np.float32)
    step = train(SampleGrid(tmp_path, examples, rows=1, columns=3), small(), kind=Negatives)
    (picture,) = pictures(tmp_path)[1]
    for example, tile in zip(examples[[0, 1, 0]], tiles(picture, 1, 3), strict=True):
        np.testing.assert_allclose(tile, enlarged(1 - example) * 255, atol=0.51)
    assert step.seed_generator.state.numpy().tolist() == [1, 0]


def test_a_named_network_draws_even_if_the_step_can(tmp_path):
    train(SampleGrid(tmp_path, network="generator"), small(3), kind=Negatives)
    assert pictures(tmp_path)[1][0].shape[-1] == 3


def test_random_state_of_the_training_is_left_alone(tmp_path):
    generator = keras.Sequential([small(), Noise()])
    grid = SampleGrid(tmp_path)
    train(grid, generator)
    state = generator.layers[-1].seed.state.numpy().tolist()
    drawn = []
    for draw in (lambda epoch: None, grid.on_epoch_end):
        keras.utils.set_random_seed(1)
        grid.on_train_begin()
        draw(1)
        drawn.append((keras.random.normal((2,)).numpy().tolist(), np.random.random()))
    assert drawn[0] == drawn[1]
    assert generator.layers[-1].seed.state.numpy().tolist() == state


def test_a_diverged_network_still_gives_a_picture(tmp_path):
    generator = small()
    generator.layers[0].bias.assign(np.full(20, np.nan))
    train(SampleGrid(tmp_path), generator)
    assert set(np.unique(pictures(tmp_path)[1][0])) == {128}


def test_a_generator_of_the_guide_is_drawn(tmp_path):
    train(SampleGrid(tmp_path), models.get("dcgan_generator")((8, 8, 1), latent_dim=3))
    assert pictures(tmp_path)[1][0].shape == (4 * 26 + 2, 8 * 26 + 2, 1)


def refusal(generator, **options):
    with pytest.raises(UsageError) as caught:
        train(SampleGrid("nowhere", **options), generator)
    return str(caught.value)


def test_a_network_that_is_not_there_is_refused_before_training():
    assert refusal(small(), network="painter") == (
        "sample_grid: the step Step has no network 'painter'; set `network` to the one that draws."
    )


def test_a_network_that_draws_no_images_is_refused_before_training():
    assert refusal(models.get("linear")((3,), 1, "linear")) == (
        "sample_grid: network 'generator' turns (None, 3) into (None, 1); expected one latent "
        "vector into images of shape (rows, height, width, 1 or 3)."
    )
    assert "(None, 4, 5, 2)" in refusal(small(2))


def test_a_picture_that_cannot_be_written_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError) as caught:
        train(SampleGrid(tmp_path / "gone"), small())
    assert str(caught.value) == (
        f"cannot write {tmp_path}/gone/epoch-0001.png: No such file or directory"
    )
