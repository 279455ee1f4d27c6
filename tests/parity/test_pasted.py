"""The guide's method bodies, pasted unchanged into plugin Steps, run and log the same values."""

import inspect
import textwrap

import keras
import numpy as np
import pytest

from fitx.datasets.digits import digits
from fitx.experiment.check import read

FULL = "fit.epochs=2", "data.rows=992"
"""All batches are full: the guide's text logs the mean of the batches' losses."""

NAMES = "loss", "mae", "val_loss", "val_mae"
HEAD = """
import keras
import tensorflow as tf

from fitx import steps
from fitx.step import Step


@steps.register
"""
GAN = """
class PastedGAN(Step):
    def __init__(self, discriminator, generator, *, latent_dim: int = 128, seed: int = 0):
        super().__init__(discriminator=discriminator, generator=generator)
        self.latent_dim = latent_dim
        self.loss_fn = keras.losses.BinaryCrossentropy(from_logits=True)
        self.seed_generator = keras.random.SeedGenerator(seed)

"""
TRACKED = """
        self.d_loss_tracker = keras.metrics.Mean(name="d_loss")
        self.g_loss_tracker = keras.metrics.Mean(name="g_loss")

    @property
    def metrics(self):
        return [self.d_loss_tracker, self.g_loss_tracker]

"""
SUPERVISED = """
plugins: [pasted.py]
step: pasted
model: linear
optimizer: adam
data: {name: random, rows: 992, features: 32}
fit: {epochs: 2}
"""
COMPILED = """
loss: mse
metrics: [mae]
"""
ADVERSARIAL = """
plugins: [pasted.py]
seed: 1337
step: {name: pasted, latent_dim: 4}
networks:
  discriminator: dcgan_discriminator
  generator: {name: dcgan_generator, latent_dim: 4}
optimizers:
  discriminator: {name: adam, learning_rate: 3e-4}
  generator: {name: adam, learning_rate: 3e-4}
data: {name: npz, path: digits.npz, batch_size: 16}
fit: {epochs: 2}
"""


@pytest.fixture
def written(tmp_path):
    """Write a plugin and an experiment that names it; `fitx check` finds nothing wrong."""

    def written(plugin, experiment):
        (tmp_path / "pasted.py").write_text(HEAD + textwrap.dedent(plugin).lstrip("\n"))
        (tmp_path / "pasted.yaml").write_text(experiment)
        read(str(tmp_path / "pasted.yaml"))
        return tmp_path / "pasted.yaml"

    return written


@pytest.fixture
def images(tmp_path):
    """40 small digits in a file; batches of 16 leave a last one of 8."""
    x = digits()["train"].x[:40]
    np.savez(tmp_path / "digits.npz", x=x)
    return x


def pasted(*methods):
    return "class Pasted(Step):\n" + "\n".join(map(inspect.getsource, methods))


def same(run, other, *names):
    return run.values(*names) == pytest.approx(other.values(*names), rel=1e-5)


def losses_of_batches(gan, x, epochs):
    """What the guide's GAN measures on each batch, and how many rows the batch has."""
    for _ in range(epochs):
        for start in range(0, len(x), 16):
            gan.reset_metrics()
            values = gan.train_step(x[start : start + 16])
            yield [float(values["d_loss"]), float(values["g_loss"])], len(x[start : start + 16])


def test_the_first_train_step(guide, run, written):
    file = written(pasted(guide.Simple.train_step), SUPERVISED + COMPILED)

    assert same(run(file), run("guide/simple", *FULL), "loss", "mae")


def test_the_low_level_class_whole(guide, run, written):
    source = inspect.getsource(guide.LowLevel).replace("(keras.Model)", "(Step)")

    file = written(source, SUPERVISED)

    assert same(run(file), run("guide/low_level", *FULL), "loss", "mae")


def test_the_weighted_train_step_with_the_test_step(guide, run, written, tmp_path):
    words = [f"data={{name: npz, path: {tmp_path}/data.npz, batch_size: 20}}"]
    rng = np.random.default_rng(0)
    arrays = {"x": (40, 4), "y": (40, 1), "sample_weight": (40, 1), "x_validation": (20, 4)}
    arrays |= {"y_validation": (20, 1)}
    drawn = {name: rng.random(shape, np.float32) for name, shape in arrays.items()}
    np.savez(tmp_path / "data.npz", **drawn)
    source = pasted(guide.Weighted.train_step, guide.Evaluation.test_step)
    file = written(source, SUPERVISED + COMPILED)

    assert same(run(file, *words), run(file, *words, "step=supervised"), *NAMES)


def test_the_gan_with_its_trackers(guide, run, written, images):
    source = GAN.rstrip() + TRACKED + inspect.getsource(guide.GAN.train_step)
    file = written(source, ADVERSARIAL)
    words = "data.drop_remainder=true", "data.batch_size=8"

    assert same(run(file, *words), run(file, *words, "step=gan"), "d_loss", "g_loss")


def test_a_gan_that_returns_raw_losses_logs_true_means_over_the_examples(
    guide, run, untrained, written, images
):
    body, _, _ = inspect.getsource(guide.GAN.train_step).partition("        self.d_loss_tracker")
    file = written(
        GAN + body + "        return {'d_loss': d_loss, 'g_loss': g_loss}\n", ADVERSARIAL
    )
    before = untrained(file)
    gan = guide.GAN(before.network("discriminator"), before.network("generator"), latent_dim=4)
    gan.compile(keras.optimizers.Adam(3e-4), keras.optimizers.Adam(3e-4))
    batches = list(losses_of_batches(gan, images, 2))
    epochs = [batches[:3], batches[3:]]
    means = [np.average([b for b, _ in e], axis=0, weights=[n for _, n in e]) for e in epochs]

    ours = run(file)

    assert [size for _, size in epochs[0]] == [16, 16, 8]
    assert ours.values("d_loss", "g_loss") == pytest.approx(np.concatenate(means), rel=1e-5)
