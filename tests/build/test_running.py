"""What fit() offers, asked for in the language: callbacks, schedules, lengths, precision."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest

from fitx.errors import DeviceError, Diverged

VALIDATED = "data.validation_split=0.4"
COUNTING = """
    from pathlib import Path

    import keras

    from fitx import callbacks


    @callbacks.register
    class Counting(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            with Path("counting.txt").open("a") as file:
                print(batch, logs["loss"], file=file)
"""
PAIR = """
    import keras
    import tensorflow as tf

    from fitx import steps
    from fitx.step import Step


    @steps.register
    class Pair(Step):
        def __init__(self, front, back):
            super().__init__(front=front, back=back)

        def train_step(self, data):
            x, y = data
            for name in ("front", "back"):
                with tf.GradientTape() as tape:
                    predicted = self.back(self.front(x, training=True), training=True)
                    loss = keras.losses.MeanSquaredError()(y, predicted)
                self.minimize(loss, tape, name)
            return {"loss": loss}
"""
TWO = """
step: pair
networks:
  front: {name: sequential, layers: [{name: dense, units: 3}]}
  back: {name: sequential, layers: [{name: dense, units: 1}]}
optimizers: {front: adam, back: sgd}
data: {name: random, rows: 20, features: 3, batch_size: 8}
"""


def test_early_stopping_ends_the_run_and_puts_the_best_weights_back(trained):
    # So large a rate that the first epoch is the best.
    stopping = "{name: early_stopping, monitor: val_loss, patience: 2, restore_best_weights: true}"
    words = VALIDATED, "optimizer={name: sgd, learning_rate: 1.5}", "fit.epochs=9"

    run = trained(*words, f"callbacks=[{stopping}]")
    best = trained(*words, f"fit.epochs={1 + int(np.argmin(run.column('val_loss')))}")

    assert len(run.rows) == 3 < 9
    for stopped, kept in zip(*(r.network().get_weights() for r in (run, best)), strict=True):
        assert np.array_equal(stopped, kept)


def test_reduce_lr_on_plateau_lowers_the_rate_and_logs_it(trained):
    plateau = (
        "{name: reduce_lr_on_plateau, monitor: loss, factor: 0.5, patience: 1, min_delta: 99.0}"
    )

    run = trained("optimizer.learning_rate=0.1", "fit.epochs=4", f"callbacks=[{plateau}]")

    assert run.column("learning_rate") == pytest.approx([0.1, 0.1, 0.05, 0.025])


def test_a_learning_rate_scheduler_takes_a_schedule_of_epochs(trained):
    schedule = "{name: piecewise_constant_decay, boundaries: [1], values: [0.2, 0.02]}"
    scheduler = f"{{name: learning_rate_scheduler, schedule: {schedule}}}"

    run = trained("fit.epochs=3", f"callbacks=[{scheduler}]")

    assert run.column("learning_rate") == pytest.approx([0.2, 0.2, 0.02])


def test_csv_logger_writes_what_is_logged_into_the_run(trained):
    run = trained(VALIDATED, "fit.epochs=2", "callbacks=[{name: csv_logger, filename: log.csv}]")

    with (run.folder / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in ("loss", "val_loss"):
        assert [float(row[name]) for row in rows] == pytest.approx(run.column(name))


def test_tensor_board_without_its_package_is_refused_before_anything_runs(trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)

    with pytest.raises(DeviceError) as caught:
        trained("callbacks=[tensor_board]")

    text = "the callback 'tensor_board' needs a package: run `pip install tensorboard`."
    assert str(caught.value) == text


def test_a_callback_of_a_plugin_gets_the_values_of_batches(trained):
    run = trained("callbacks=[counting]", counting=COUNTING)

    lines = Path("counting.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["0", "1", "2"]
    # The loss of supervised is the mean so far of the batches' losses.
    assert float(lines[-1].split()[1]) == pytest.approx(run.rows[0]["loss"])


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_every_precision_trains_two_networks(trained, precision):
    words = (
        f"execution.precision={precision}",
        "fit.epochs=20",
        "optimizers.back.learning_rate=0.1",
    )

    run = trained(*words, text=TWO, pair=PAIR)

    assert run.rows[-1]["loss"] < 0.5 * run.rows[0]["loss"]


def test_averaged_weights_of_two_optimizers_are_the_ones_written(trained):
    averaging = "use_ema: true, ema_momentum: 0.9"
    words = (
        f"optimizers.front={{name: sgd, {averaging}}}",
        f"optimizers.back={{name: sgd, {averaging}}}",
    )

    averaged = trained("fit.epochs=3", *words, text=TWO, pair=PAIR)
    plain = trained("fit.epochs=3", "optimizers={front: sgd, back: sgd}", text=TWO, pair=PAIR)

    assert averaged.column("loss") == plain.column("loss")
    for name in ("front", "back"):
        kernels = [run.network(name).get_weights()[0] for run in (averaged, plain)]
        assert not np.array_equal(*kernels)


def test_an_epoch_may_be_longer_than_the_data(trained):
    run = trained("fit.steps_per_epoch=7", "fit.epochs=2")

    assert run.column("step") == [7, 14]


def test_an_epoch_may_be_shorter_than_the_data_and_the_next_goes_on(trained):
    short = trained("fit.steps_per_epoch=1", "fit.epochs=3", "data.shuffle=false")
    whole = trained("fit.epochs=1", "data.shuffle=false")

    for a, b in zip(*(r.network().get_weights() for r in (short, whole)), strict=True):
        assert np.array_equal(a, b)
    # Batches of 8, 8 and 4 rows: each counts by its rows.
    mean = np.average(short.column("loss"), weights=[8, 8, 4])
    assert mean == pytest.approx(whole.rows[0]["loss"])


def test_validation_may_be_shorter_and_rarer(trained):
    words = "data.rows=40", VALIDATED, "data.batch_size=4", "fit.epochs=4", "fit.validation_freq=2"
    rates = "optimizer.learning_rate=0.0"

    some = trained(*words, rates, "fit.validation_steps=1")
    all_of_it = trained(*words, rates, "fit.validation_steps=4")

    assert [value is None for value in some.column("val_loss")] == [True, False, True, False]
    assert some.rows[1]["val_loss"] == some.rows[3]["val_loss"]
    assert some.rows[1]["val_loss"] != all_of_it.rows[1]["val_loss"]


def test_callbacks_wait_in_silence_for_the_next_validation(trained):
    stopping = "{name: early_stopping, monitor: val_loss, patience: 9}"
    plateau = "{name: reduce_lr_on_plateau, monitor: val_loss, patience: 9}"

    run = trained(
        VALIDATED, "fit.epochs=4", "fit.validation_freq=2", f"callbacks=[{stopping}, {plateau}]"
    )

    # Keras warns after each epoch without a validation, and warnings are errors here.
    assert [value is None for value in run.column("val_loss")] == [True, False, True, False]


def test_no_epochs_write_the_untrained_networks(trained):
    untrained, trained_run = trained("fit.epochs=0"), trained("fit.epochs=1")

    assert untrained.rows == []
    assert not np.array_equal(*(run.network().get_weights()[0] for run in (untrained, trained_run)))


def test_deterministic_execution_repeats_to_the_bit(trained):
    model = "model={name: mlp, units: [4], dropout: 0.5}"

    runs = [trained("execution.deterministic=true", model, "fit.epochs=2") for _ in range(2)]

    assert runs[0].column("loss") == runs[1].column("loss")


def test_a_value_that_is_not_finite_ends_the_run_whatever_its_name(trained):
    plugin = PAIR.replace('{"loss": loss}', '{"error": loss, "root": tf.sqrt(-loss)}')

    with pytest.raises(Diverged) as caught:
        trained("fit.epochs=3", text=TWO, pair=plugin)

    assert str(caught.value).startswith("diverged: root is nan after step ")
    assert "is not finite is Sqrt in step 1 (epoch 1), at " in str(caught.value)
