import subprocess
import sys

import keras
import numpy as np
import pytest

from fitx.registry.registries import models

IMAGE = (8, 8, 1)
SHIPPED = {
    "linear": lambda: models.get("linear")([32], 1, "linear"),
    "mlp": lambda: models.get("mlp")(IMAGE, 10, "softmax", dropout=0.5),
    "convnet": lambda: models.get("convnet")(IMAGE, 10, "softmax", dropout=0.5),
    "sequential": lambda: models.get("sequential")((3,), layers=[keras.layers.Dense(2)]),
    "dcgan_generator": lambda: models.get("dcgan_generator")(IMAGE, latent_dim=5),
    "dcgan_discriminator": lambda: models.get("dcgan_discriminator")(IMAGE),
    "transformer": lambda: models.get("transformer")((5, 3), 2, width=8),
    "unet": lambda: models.get("unet")(IMAGE, filters=[4, 8]),
}
LOAD = """
import sys
sys.modules["fitx"] = None
import keras, numpy
for file in sys.argv[1:]:
    network = keras.saving.load_model(file, compile=False)
    arrays = dict(numpy.load(file + ".npz"))
    answer = arrays.pop("answer")
    x = list(arrays.values())
    print(abs(network(x[0] if len(x) == 1 else x).numpy() - answer).max() < 1e-6)
"""


def layers(network):
    return [type(layer).__name__ for layer in network.layers]


def inputs(network):
    """Return two random rows for each input of a network; sequences have four elements."""
    random = np.random.default_rng(0)
    shapes = [[size or 4 for size in tensor.shape[1:]] for tensor in network.inputs]
    return [random.random((2, *shape), np.float32) for shape in shapes]


def refusal(name, *arguments, **options):
    with pytest.raises(ValueError) as caught:
        models.get(name)(*arguments, **options)
    return str(caught.value)


def test_every_shipped_model_is_tested():
    assert set(SHIPPED) == set(models.files())


@pytest.mark.parametrize("name", SHIPPED)
def test_networks_are_built_keras_models(name):
    network = SHIPPED[name]()
    assert isinstance(network, keras.Model)
    assert network.built
    assert network.weights
    assert len({variable.path for variable in network.variables}) == len(network.variables)


def test_networks_load_where_there_is_no_fitx(tmp_path):
    files = []
    for name, make in SHIPPED.items():
        network = make()
        files.append(str(tmp_path / f"{name}.keras"))
        x = inputs(network)
        network.save(files[-1])
        np.savez(files[-1] + ".npz", *x, answer=network(x[0] if len(x) == 1 else x))
    done = subprocess.run([sys.executable, "-c", LOAD, *files], capture_output=True, text=True)
    assert done.stdout.split() == ["True"] * len(SHIPPED), done.stderr


def test_linear_is_one_dense_layer():
    network = models.get("linear")((32,), 3, "softmax")
    assert layers(network) == ["Dense"]
    assert network.output_shape == (None, 3)
    assert network.layers[-1].activation is keras.activations.softmax


@pytest.mark.parametrize("name", ["linear", "mlp"])
@pytest.mark.parametrize("shape", [(), (4, 4, 1), (2, 3)])
def test_dense_networks_flatten_what_is_no_vector(name, shape):
    network = models.get(name)(shape, 2, "linear")
    assert layers(network)[0] == "Flatten"
    assert network(np.zeros((5, *shape), np.float32)).shape == (5, 2)


def test_mlp_takes_its_settings():
    network = models.get("mlp")((4,), 2, "linear", units=[3, 5], activation="tanh", dropout=0.25)
    assert layers(network) == ["Dense", "Dropout", "Dense", "Dropout", "Dense"]
    assert [w.shape for w in network.weights[::2]] == [(4, 3), (3, 5), (5, 2)]
    assert network.layers[0].activation is keras.activations.tanh
    assert network.layers[1].rate == 0.25
    assert layers(models.get("mlp")((4,), 2, "linear", units=[])) == ["Dense"]


def test_convnet_takes_its_settings():
    network = models.get("convnet")((9, 12, 3), 7, "softmax", filters=[4, 6], dropout=0.5)
    expected = ["Conv2D", "MaxPooling2D", "Conv2D", "MaxPooling2D", "Flatten", "Dropout", "Dense"]
    assert layers(network) == expected
    assert network.layers[3].output.shape == (None, 2, 3, 6)
    assert network.output_shape == (None, 7)


def test_convnet_refuses_what_is_no_image():
    assert refusal("convnet", (32,), 1, "linear") == (
        "convnet needs images of shape (height, width, channels); a row of the data has shape "
        "(32,)."
    )


def test_convnet_refuses_images_that_are_too_small():
    assert layers(models.get("convnet")(IMAGE, 1, "linear", filters=[1, 1, 1]))[-1] == "Dense"
    assert refusal("convnet", IMAGE, 1, "linear", filters=[1] * 4) == (
        "convnet halves images 4 times, once for each of filters; images of 8x8 can be halved 3 "
        "times. Give fewer filters or set data.image_size."
    )


def test_sequential_is_the_layers_it_is_given():
    given = [keras.layers.Flatten(), keras.layers.Dense(3), keras.layers.Softmax()]
    network = models.get("sequential")([8, 8, 1], layers=given)
    assert network.layers == given
    assert (network.input_shape, network.output_shape) == ((None, 8, 8, 1), (None, 3))


def test_dcgan_networks_are_those_of_the_guide():
    generator = models.get("dcgan_generator")((28, 28, 1))
    discriminator = models.get("dcgan_discriminator")((28, 28, 1))
    guide_generator, guide_discriminator = the_guides_networks()
    for ours, theirs in (generator, guide_generator), (discriminator, guide_discriminator):
        assert [described(layer) for layer in ours.layers] == [
            described(layer) for layer in theirs.layers
        ]
        assert [w.shape for w in ours.weights] == [w.shape for w in theirs.weights]


def described(layer):
    return {key: value for key, value in layer.get_config().items() if key != "name"}


def the_guides_networks():
    layers = keras.layers
    discriminator = keras.Sequential(
        [
            keras.Input(shape=(28, 28, 1)),
            layers.Conv2D(64, (3, 3), strides=(2, 2), padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Conv2D(128, (3, 3), strides=(2, 2), padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.GlobalMaxPooling2D(),
            layers.Dense(1),
        ],
        name="discriminator",
    )
    generator = keras.Sequential(
        [
            keras.Input(shape=(128,)),
            layers.Dense(7 * 7 * 128),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Reshape((7, 7, 128)),
            layers.Conv2DTranspose(128, (4, 4), strides=(2, 2), padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Conv2DTranspose(128, (4, 4), strides=(2, 2), padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Conv2D(1, (7, 7), padding="same", activation="sigmoid"),
        ],
        name="generator",
    )
    return generator, discriminator


@pytest.mark.parametrize("shape", [(8, 8, 1), (12, 20, 3), (32, 32, 3)])
def test_dcgan_networks_fit_other_sizes(shape):
    drawn = models.get("dcgan_generator")(shape, latent_dim=3)(np.zeros((2, 3), np.float32))
    assert drawn.shape == (2, *shape)
    assert models.get("dcgan_discriminator")(shape)(drawn).shape == (2, 1)


def test_dcgan_networks_refuse_what_they_cannot_draw():
    assert refusal("dcgan_generator", (30, 28, 1)) == (
        "dcgan_generator draws images whose sides are multiples of 4, not 30x28; set "
        "data.image_size to one, such as 28."
    )
    for name in ("dcgan_generator", "dcgan_discriminator"):
        assert refusal(name, (32,)) == (
            f"{name} needs images of shape (height, width, channels); a row of the data has shape "
            "(32,)."
        )


@pytest.fixture
def mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("name", [name for name in SHIPPED if name != "sequential"])
def test_answers_have_32_bits_under_mixed_precision(mixed_precision, name):
    network = SHIPPED[name]()
    x = inputs(network)
    answer = network(x[0] if len(x) == 1 else x)
    assert keras.backend.standardize_dtype(answer.dtype) == "float32"


def test_a_unet_returns_images_of_the_size_that_it_is_given():
    network = models.get("unet")((8, 12, 3), filters=[4, 4, 4])
    assert network.output_shape == (None, 8, 12, 3)


def test_a_unet_sees_each_image_and_its_time_alone():
    network = models.get("unet")(IMAGE, filters=[4, 8])
    random = np.random.default_rng(0)
    network.set_weights([random.normal(size=w.shape, scale=0.3) for w in network.get_weights()])
    x = random.random((3, *IMAGE), np.float32)
    both = network([x, np.float32([[0.1], [0.1], [0.9]])]).numpy()
    alone = network([x[:1], np.float32([[0.1]])]).numpy()
    np.testing.assert_allclose(both[:1], alone, atol=1e-5)
    moved = network([x, np.float32([[0.1], [0.1], [0.2]])]).numpy()
    assert [np.allclose(a, b, atol=1e-4) for a, b in zip(both, moved, strict=True)] == [1, 1, 0]


def test_a_unet_refuses_images_that_it_cannot_halve():
    assert refusal("unet", (6, 8, 1), filters=[4, 4, 4]) == (
        "unet halves images 2 times, once less than it has filters; images of 6x8 cannot be. Give "
        "fewer filters or set data.image_size."
    )


def test_a_transformer_treats_a_sequence_as_a_set_of_any_size():
    network = models.get("transformer")((5, 3), 2, width=8)
    x = np.random.default_rng(0).random((2, 7, 3), np.float32)
    y = network(x).numpy()
    assert y.shape == (2, 7, 2)
    order = [3, 1, 6, 0, 2, 5, 4]
    np.testing.assert_allclose(network(x[:, order]), y[:, order], atol=1e-5)
    assert not np.allclose(network(x[:, :5]), y[:, :5], atol=1e-3)


def test_a_transformer_refuses_images_and_heads_that_do_not_share_its_width():
    assert refusal("transformer", IMAGE, 2) == (
        "transformer needs sequences of shape (length, features) and a width that is a multiple of "
        "heads; a row of the data has shape (8, 8, 1), width is 64 and heads is 4."
    )
    assert "width is 10 and heads is 4" in refusal("transformer", (5, 3), 2, width=10)
