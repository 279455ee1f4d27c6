import keras
import numpy as np
import pytest

from fitx.registry.registries import steps

X = np.array([[0.1], [0.4], [0.9]], np.float32)
Y = np.array([[0.8], [0.3], [0.6]], np.float32)
WEIGHTS = {
    "generator_y": (2.0, 0.5),
    "generator_x": (0.5, -0.1),
    "discriminator_x": (1.5, 0.2),
    "discriminator_y": (-0.7, 0.4),
}
"""The slope and the intercept of each network, a line."""


def line(name):
    slope, intercept = WEIGHTS[name]
    return lambda values: slope * values + intercept


@pytest.fixture
def cyclegan(dense):
    """A CycleGAN of four lines; learning rates by network."""

    def cyclegan(rates=None, **options):
        networks = {name: dense(1, 1) for name in WEIGHTS}
        for name, (slope, intercept) in WEIGHTS.items():
            networks[name].layers[0].set_weights([np.array([[slope]]), np.array([intercept])])
        step = steps.get("cyclegan")(**networks, **options)
        rates = rates or {}
        step.compile({name: keras.optimizers.SGD(rates.get(name, 0.0)) for name in WEIGHTS})
        return step

    return cyclegan


def expected():
    """Return the logged values by the paper's formulas."""
    to_y, to_x, judge_x, judge_y = (line(name) for name in WEIGHTS)
    fake_x, fake_y = to_x(Y), to_y(X)
    real = ((judge_x(X) - 1) ** 2).mean() + ((judge_y(Y) - 1) ** 2).mean()
    fake = (judge_x(fake_x) ** 2).mean() + (judge_y(fake_y) ** 2).mean()
    return {
        "cycle_loss": abs(to_x(fake_y) - X).mean() + abs(to_y(fake_x) - Y).mean(),
        "identity_loss": abs(to_x(X) - X).mean() + abs(to_y(Y) - Y).mean(),
        "generator_loss": ((judge_x(fake_x) - 1) ** 2 + (judge_y(fake_y) - 1) ** 2).mean(),
        "discriminator_loss": (real + fake) / 2,
    }


def numbers(values):
    return {name: float(value) for name, value in values.items()}


def test_the_losses_are_those_of_the_paper(cyclegan):
    for method in ("test_step", "train_step"):
        values = numbers(getattr(cyclegan(), method)((X, Y)))
        assert values == pytest.approx(expected(), rel=1e-5)


def test_the_weights_of_the_losses_apply_to_the_update(cyclegan):
    step = cyclegan({"generator_y": 0.1}, cycle_weight=3.0, identity_weight=2.0)

    step.train_step((X, Y))

    # By the intercept of generator_y: cycles there and back, its own domain, and the judge.
    to_y, to_x, _, judge_y = (line(name) for name in WEIGHTS)
    cycle = (np.sign(to_x(to_y(X)) - X) * 0.5).mean() + np.sign(to_y(to_x(Y)) - Y).mean()
    identity = np.sign(to_y(Y) - Y).mean()
    judged = (2 * (judge_y(to_y(X)) - 1) * -0.7).mean()
    intercept = step.generator_y.get_weights()[1]
    assert intercept == pytest.approx(0.5 - 0.1 * (3 * cycle + 2 * identity + judged), rel=1e-5)


@pytest.mark.parametrize("name", WEIGHTS)
def test_each_network_is_moved_by_its_own_optimizer_alone(cyclegan, moves, name):
    step = cyclegan({name: 0.1})
    networks = [getattr(step, other) for other in WEIGHTS]

    assert moves(lambda: step.train_step((X, Y)), *networks) == [n == name for n in WEIGHTS]
    assert not any(moves(lambda: step.test_step((X, Y)), *networks))


def test_discriminators_are_updated_on_the_translations_that_the_generators_were(cyclegan):
    rates = {"generator_y": 0.1, "generator_x": 0.1}

    values = numbers(cyclegan(rates).train_step((X, Y)))

    assert values["discriminator_loss"] == pytest.approx(expected()["discriminator_loss"])


def test_without_its_weight_there_is_no_identity_loss(cyclegan):
    assert numbers(cyclegan(identity_weight=0).train_step((X, Y)))["identity_loss"] == 0


def test_examples_are_drawn_beside_their_translations_there_and_back(cyclegan):
    examples = np.tile(X[:, None, None], (1, 1, 2, 1))

    step = cyclegan()
    step.generator_y, step.generator_x = (
        lambda x, training, name=name: line(name)(x) for name in ("generator_y", "generator_x")
    )

    images = np.array(step.sample_images(examples, 0))

    there = line("generator_y")(X)
    columns = [X, X, there, there, *[line("generator_x")(there)] * 2]
    np.testing.assert_allclose(images[:, 0, :, 0], np.concatenate(columns, axis=1), rtol=1e-5)
