"""Schedules of Keras are those that a user would write by hand, alone and with a warm-up."""

import keras
import pytest

from fitx.build.make_parts import make_value
from fitx.experiment.check import read
from fitx.experiment.problems import ConfigError
from fitx.registry import keras_parts

STEPS = 20
RATE = "initial_learning_rate: 0.4"
WARM = "initial_learning_rate: 0.1, warmup_target: 0.4, warmup_steps: 6"
PIECES = "{name: piecewise_constant_decay, "
schedules = keras.optimizers.schedules

CASES = {
    f"{{name: exponential_decay, {RATE}, decay_steps: total, decay_rate: 0.5}}": (
        schedules.ExponentialDecay(0.4, STEPS, 0.5),
        (0.4, 0.2),
    ),
    f"{{name: inverse_time_decay, {RATE}, decay_steps: total, decay_rate: 3}}": (
        schedules.InverseTimeDecay(0.4, STEPS, 3.0),
        (0.4, 0.1),
    ),
    f"{{name: polynomial_decay, {RATE}, decay_steps: total, end_learning_rate: 0.1}}": (
        schedules.PolynomialDecay(0.4, STEPS, 0.1),
        (0.4, 0.1),
    ),
    f"{{name: cosine_decay, {RATE}, decay_steps: total, alpha: 0.25}}": (
        schedules.CosineDecay(0.4, STEPS, 0.25),
        (0.4, 0.1),
    ),
    f"{{name: cosine_decay, {WARM}, decay_steps: total, alpha: 0.5}}": (
        schedules.CosineDecay(0.1, STEPS - 6, 0.5, warmup_target=0.4, warmup_steps=6),
        (0.1, 0.2),
    ),
    f"{{name: cosine_decay, {WARM}, decay_steps: 10}}": (
        schedules.CosineDecay(0.1, 10, warmup_target=0.4, warmup_steps=6),
        (0.1, 0.0),
    ),
    f"{{name: cosine_decay_restarts, {RATE}, first_decay_steps: total, t_mul: 1, m_mul: 0.5}}": (
        schedules.CosineDecayRestarts(0.4, STEPS, 1.0, 0.5),
        (0.4, 0.2),
    ),
    "{name: piecewise_constant_decay, boundaries: [6, total], values: [1, 0.5, 0.25]}": (
        schedules.PiecewiseConstantDecay([6, STEPS], [1.0, 0.5, 0.25]),
        (1.0, 0.5),
    ),
    "{name: piecewise_constant_decay, boundaries: [6, 12], values: [1, 0.5, 0.25]}": (
        schedules.PiecewiseConstantDecay([6, 12], [1.0, 0.5, 0.25]),
        (1.0, 0.25),
    ),
}


@pytest.fixture
def experiment(tmp_path):
    """Read an experiment whose learning rate is a schedule."""

    def experiment(schedule):
        (tmp_path / "mine.yaml").write_text(
            "step: supervised\nmodel: linear\nloss: mse\ndata: random\n"
            f"optimizer: {{name: sgd, learning_rate: {schedule}}}\n"
        )
        return read(str(tmp_path / "mine.yaml"))

    return experiment


@pytest.fixture
def made(experiment):
    """Make a schedule as a training of so many steps makes it."""

    def made(schedule, steps=STEPS):
        mine = experiment(schedule)
        path = ("optimizers", "model", "learning_rate")
        return make_value(mine, mine.optimizers["model"].options["learning_rate"], path, steps)

    return made


@pytest.mark.parametrize("text", CASES)
def test_every_schedule_is_the_one_written_by_hand_at_its_first_middle_and_last_step(made, text):
    expected, (first, end) = CASES[text]
    schedule = made(text)
    for step in (0, 1, 5, 6, STEPS // 2, STEPS - 1, STEPS):
        assert float(schedule(step)) == float(expected(step)), step
    assert float(schedule(0)) == pytest.approx(first)
    assert float(schedule(STEPS)) == pytest.approx(end, abs=1e-7)


def test_every_schedule_of_keras_is_among_them():
    named = {text.partition("name: ")[2].partition(",")[0] for text in CASES}
    assert named == set(keras_parts.names("schedule"))


def test_a_warm_up_that_takes_the_whole_training_is_refused_before_it(made):
    with pytest.raises(ConfigError) as caught:
        made(f"{{name: cosine_decay, {WARM}, decay_steps: total}}", steps=6)
    problem = caught.value.problems[0]
    assert problem.path == ("optimizer", "learning_rate", "warmup_steps")
    assert problem.text == "6 steps of 6 in the training; none would be left to decay."


@pytest.mark.parametrize(
    ("schedule", "key"),
    [
        (f"{{name: cosine_decay, {RATE}, decay_steps: 9, warmup_steps: 3}}", "warmup_steps"),
        (f"{{name: cosine_decay, {RATE}, decay_steps: 9, warmup_target: 3}}", "warmup_target"),
        (PIECES + "boundaries: [6, 6], values: [1, 2, 3]}", "boundaries"),
        (
            PIECES + "boundaries: [total, 6], values: [1, 2, 3]}",
            "boundaries",
        ),
        (PIECES + "boundaries: [6], values: [1, 2, 3]}", "values"),
        (PIECES + "boundaries: [], values: [1]}", "boundaries"),
        (
            PIECES + "boundaries: [6, all], values: [1, 2, 3]}",
            "boundaries.1",
        ),
        (PIECES + 'boundaries: ["6"], values: [1, 2]}', "boundaries.0"),
        (f"{{name: cosine_decay_restarts, {RATE}, first_decay_steps: 9, t_mul: [1]}}", "t_mul"),
    ],
)
def test_a_schedule_that_cannot_be_or_ignores_an_option_is_refused(experiment, schedule, key):
    with pytest.raises(ConfigError) as caught:
        experiment(schedule)
    assert [".".join(map(str, p.path)) for p in caught.value.problems] == [
        f"optimizer.learning_rate.{key}"
    ]
