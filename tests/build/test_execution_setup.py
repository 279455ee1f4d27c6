"""The mode of a step is the requested, the chosen or the fastest one, and never one that fails."""

import pytest

from fitx.build.execution_setup import PlannedSteps, prepare_execution
from fitx.build.make import make
from fitx.experiment.problems import ConfigError
from fitx.training.setup import prepare_runtime

PRINTING = """
    import tensorflow as tf

    from fitx import steps
    from fitx.step import Step


    @steps.register
    class Printing(Step):
        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
            tf.print(loss)
            self.minimize(loss, tape, "model")
            return {"loss": loss}
"""
OBSTACLE = "StringFormat of printing.py:13 (`tf.print(loss)`), which it does not support"
READING = """
    import keras

    from fitx import callbacks


    @callbacks.register
    class Reading(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            pass
"""


LOOKS = "callback tensor_board needs every batch"


@pytest.fixture
def with_tensor_board(monkeypatch):
    """Let the package TensorBoard be there, which is no part of an installation."""
    monkeypatch.setattr("fitx.build.callback_parts.find_spec", lambda name: name)


def settled(experiment, steps=1_000):
    built, device = make(experiment), prepare_runtime(experiment)
    plan = prepare_execution(built, device, [PlannedSteps("train", "train", steps)])
    return plan.modes["train"].name, plan.reasons["train"]


@pytest.mark.parametrize("mode", ["plain", "xla", "fused", "fused_xla"])
def test_a_mode_that_the_experiment_names_is_taken(written, mode):
    found = settled(written(f"execution.mode={mode}"), steps=3)

    assert found == (mode, "as execution.mode says")


def test_the_rule_chooses_by_what_the_step_computes(written):
    mode, why = settled(written())

    assert mode == "fused_xla"
    assert why.endswith("operations a step, which are small")


def test_what_xla_cannot_compile_is_named_and_the_next_mode_taken(written):
    found = settled(written("step=printing", "~loss", printing=PRINTING))

    assert found == ("fused", f"XLA cannot compile {OBSTACLE}")


def test_a_mode_of_xla_that_cannot_be_is_refused_where_it_is_written(written):
    words = ["step=printing", "~loss", "execution.mode=xla"]

    with pytest.raises(ConfigError) as caught:
        settled(written(*words, printing=PRINTING))

    (problem,) = caught.value.problems
    assert problem.path == ("execution", "mode")
    assert problem.text == f"XLA cannot compile {OBSTACLE}; write `mode: auto`."


def test_a_callback_that_looks_at_every_batch_sees_every_batch(written):
    found = settled(written("callbacks=[reading]", reading=READING))

    assert found == ("plain", "callback reading needs every batch")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("", None),
        (", update_freq: 2", ("plain", LOOKS)),
        (", write_steps_per_second: true", ("plain", LOOKS)),
    ],
)
def test_tensor_board_is_called_for_every_batch_only_where_it_writes_of_batches(
    written, options, words, with_tensor_board
):
    experiment = written(f"callbacks=[{{name: tensor_board{options}}}]")

    assert settled(experiment) == (words or settled(written()))


def test_tensor_board_that_writes_of_batches_is_refused_in_a_mode_that_runs_many_a_call(
    written, with_tensor_board
):
    words = ["callbacks=[{name: tensor_board, update_freq: batch}]", "execution.mode=fused"]

    with pytest.raises(ConfigError, match="tensor_board counts batches by calls"):
        settled(written(*words))


def test_a_run_that_goes_on_in_such_a_mode_refuses_it_too(written, with_tensor_board):
    experiment = written("callbacks=[{name: tensor_board, update_freq: batch}]")
    built, device = make(experiment), prepare_runtime(experiment)
    task = PlannedSteps("train", "train", 1_000)

    with pytest.raises(ConfigError, match="tensor_board counts batches by calls"):
        prepare_execution(built, device, [task], recorded={"train": "fused"})


def test_measuring_keeps_the_fastest_and_says_what_it_saw(written):
    mode, why = settled(written("execution.mode=measure"), steps=10**8)

    times = why.removeprefix("measured per step: ").split(", ")
    assert [time.split()[0] for time in times][0] == mode
    assert sorted(time.split()[0] for time in times) == ["fused", "fused_xla", "plain", "xla"]
    assert [float(time.split()[1]) for time in times] == sorted(float(t.split()[1]) for t in times)


def test_a_training_too_short_to_measure_follows_the_rule(written):
    mode, why = settled(written("execution.mode=measure"), steps=5)

    assert mode == "plain"
    assert why == (
        "5 steps are too few for compiling to pay off; the training is too short to time more than "
        "one mode"
    )


def test_measuring_trains_to_the_same_values_as_not_measuring(trained):
    words = [
        "fit.epochs=2",
        "model={name: sequential, layers: [{name: dropout, rate: 0.5}, dense]}",
    ]
    words[1] = words[1].replace("dense]", "{name: dense, units: 1}]")

    measured = trained(*words, "execution.mode=measure")
    plain = trained(*words, "execution.mode=plain")

    assert measured.column("loss") == plain.column("loss")


def test_a_recurrent_step_is_compiled_for_full_batches_where_the_last_is_short(trained):
    layers = (
        "{name: reshape, target_shape: [3, 1]}, {name: lstm, units: 2}, {name: dense, units: 1}"
    )
    words = [f"model={{name: sequential, layers: [{layers}]}}", "fit.epochs=2"]

    plain, xla = (trained(*words, f"execution.mode={mode}") for mode in ("plain", "fused_xla"))

    assert xla.column("loss") == pytest.approx(plain.column("loss"), rel=1e-5)


def test_fewer_rows_than_a_batch_are_one_batch_which_is_measured(written):
    mode, why = settled(written("execution.mode=measure", "data.rows=5"), steps=10**8)

    assert why.startswith(f"measured per step: {mode} ")
