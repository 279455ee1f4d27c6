import keras
import numpy as np
import pytest
import tensorflow as tf

from fitx.registry.registries import steps

REAL = np.random.default_rng(0).random((5, 3), np.float32)
SLOPE = np.array([[1.0], [-2.0], [0.5]])


@pytest.fixture
def wgan(dense):
    """A WGAN on rows of three numbers whose critic is linear; learning rates by network."""

    def wgan(critic=0.0, generator=0.0, network=None, **options):
        keras.utils.set_random_seed(0)
        network = network or dense()
        step = steps.get("wgan_gp")(network, dense(3, 4), seed=1, **options)
        rates = {"critic": critic, "generator": generator}
        step.compile({name: keras.optimizers.SGD(rate) for name, rate in rates.items()})
        step.critic.layers[-1].kernel.assign(SLOPE)
        return step

    return wgan


def numbers(values):
    return {name: float(value) for name, value in values.items()}


def test_the_penalty_of_a_linear_critic_is_that_of_its_slope(wgan):
    values = numbers(wgan().test_step(REAL))

    assert values["gradient_penalty"] == pytest.approx((np.linalg.norm(SLOPE) - 1) ** 2)


def test_the_penalty_is_a_mean_over_examples_of_norms_over_all_their_values(wgan):
    curved = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3), keras.layers.Dense(1)])
    curved.layers[0].activation = keras.ops.square
    curved.layers[0].kernel.assign(np.eye(3))
    step = wgan(network=curved)

    # Real and generated samples are the same, and so are those between them.
    penalty = step._penalty(tf.constant(REAL), tf.constant(REAL), seed=0, training=False)

    norms = np.linalg.norm(2 * REAL * SLOPE[:, 0], axis=1)
    assert float(penalty) == pytest.approx(np.mean((norms - 1) ** 2), rel=1e-5)


def test_samples_of_the_penalty_lie_between_real_and_generated_ones(wgan):
    step, seen = wgan(), []
    critic = step.critic
    step._scores = lambda samples, training: seen.append(samples) or critic(samples)
    real, fake = tf.zeros((1000, 3)), tf.ones((1000, 3))

    step._penalty(real, fake, seed=0, training=False)

    share = seen[0].numpy()
    assert (share == share[:, :1]).all()
    assert np.abs(np.quantile(share[:, 0], [0.25, 0.5, 0.75]) - [0.25, 0.5, 0.75]).max() < 0.05


def test_the_losses_are_differences_of_mean_scores(wgan):
    step = wgan(gp_weight=2.0)
    fake = step.generator(step._latent(REAL, step.seed)).numpy()

    values = numbers(step.test_step((REAL, np.zeros(5))))

    penalty = (np.linalg.norm(SLOPE) - 1) ** 2
    critic_loss = (fake @ SLOPE).mean() - (REAL @ SLOPE).mean() + 2 * penalty
    assert values["critic_loss"] == pytest.approx(critic_loss, rel=1e-5)
    assert values["generator_loss"] == pytest.approx(-(fake @ SLOPE).mean(), rel=1e-5)


def test_the_critic_is_updated_several_times_with_new_latent_vectors_the_generator_once(wgan):
    step = wgan(n_critic=4)
    drawn = []
    latent = step._latent
    step._latent = lambda *inputs: drawn.append(latent(*inputs)) or drawn[-1]

    step.train_step(REAL)

    assert int(step.critic_optimizer.iterations) == 4
    assert int(step.generator_optimizer.iterations) == 1
    assert len({np.array(vectors).tobytes() for vectors in drawn}) == 5


def test_each_update_leaves_the_other_network_untouched(wgan, moves):
    for rates, expected in (({"critic": 0.1}, [True, False]), ({"generator": 0.1}, [False, True])):
        step = wgan(**rates)
        networks = step.critic, step.generator
        assert moves(lambda step=step: step.train_step(REAL), *networks) == expected
        assert moves(lambda step=step: step.test_step(REAL), *networks) == [False, False]


def test_a_critic_without_a_gradient_gives_no_nan(wgan):
    step = wgan(critic=0.1)
    step.critic.layers[-1].kernel.assign(np.zeros((3, 1)))

    values = numbers(step.train_step(REAL))

    assert np.isfinite(list(values.values())).all()
    assert np.isfinite(step.critic.get_weights()[0]).all()
