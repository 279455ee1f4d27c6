import os
import re

import pytest
import tensorflow as tf

from fitx import checkpoint
from fitx.cli.display import NoDisplay
from fitx.errors import DeviceError, Diverged
from fitx.experiment.check import read
from fitx.experiment.problems import ConfigError
from fitx.rundir import record
from fitx.runtime.strategy import choose_strategy

from .conftest import difference

CASES = {
    "low_level": ("guide/low_level", "fit.epochs=2", "data.batch_size=48"),
    "class weights": ("guide/class_weight", "fit.epochs=2", "data.batch_size=48"),
    "sample weights, sum of losses": (
        "guide/weighted",
        "fit.epochs=2",
        "loss={name: mse, reduction: sum}",
        "optimizer.learning_rate=1e-4",
    ),
    "sample weights, mean by weight": (
        "guide/weighted",
        "fit.epochs=2",
        "loss={name: mse, reduction: mean_with_sample_weight}",
    ),
    "dropout, an odd last batch": ("digits", "fit.epochs=2", "model={name: mlp, dropout: 0.5}"),
    "gan": ("gan.yaml",),
    "raw loss": ("raw.yaml",),
    "rows of all devices": ("regularization/mixup", "fit.epochs=1"),
    "the mean gradient": ("regularization/sam", "fit.epochs=1"),
    "streams, an odd last batch": ("streams.yaml",),
    "several inputs and outputs": ("several_outputs.yaml",),
    "metrics that know their shapes by the first batch": ("several.yaml",),
}
REFUSED = ("guide/low_level", "data.batch_size=5")
KEEPING = ("keeping.yaml", "fit.epochs=1")
DIVERGING = ("raw.yaml", "optimizer={name: sgd, learning_rate: 1e30}")


@pytest.fixture(scope="module")
def outcomes(on_two):
    """Return what came of every case on two devices, by its name."""
    cases = [(file, list(words)) for file, *words in (*CASES.values(), REFUSED, KEEPING, DIVERGING)]
    return dict(zip([*CASES, "refused", "keeping", "diverging"], on_two(*cases), strict=True))


@pytest.fixture(scope="module")
def on_one(folder):
    """Train a case on one device; return the run's folder and its values."""
    from fitx.commands.train import train
    from fitx.training.train_request import TrainRequest

    def on_one(name):
        file, *words = CASES[name]
        before = os.getcwd()
        os.chdir(folder)
        try:
            experiment = read(file, (*words, "execution.mode=plain"))
            result = train(experiment, TrainRequest(folder / "one"), NoDisplay())
            return folder / result.run, result.metrics
        finally:
            os.chdir(before)

    return on_one


@pytest.mark.parametrize("name", CASES)
def test_two_devices_train_to_the_weights_and_values_of_one(name, outcomes, on_one, folder):
    two = outcomes[name]
    assert "error" not in two, two
    run, values = on_one(name)
    states = [checkpoint.newest(path / "checkpoints").state for path in (run, folder / two["run"])]
    assert difference(*states) < 1e-5
    assert two["metrics"] == pytest.approx(values, rel=1e-5)
    assert two["notes"] == []


def test_what_only_the_graphs_of_several_devices_hold_is_saved_or_named(outcomes, folder):
    run, notes = folder / outcomes["keeping"]["run"], outcomes["keeping"]["notes"]
    state = checkpoint.newest(run / "checkpoints").state
    assert state["graph/Variable:0"] > 0
    assert b"steps" in state["graph/table"].tobytes()
    assert [note.partition(":")[0] for note in notes] == [
        "train_step changes a lookup table with LookupTableInsertV2 of keeping.py",
        "train_step uses a queue with QueueDequeueV2 of keeping.py",
    ]


def test_a_run_records_its_strategy_and_what_computed(outcomes, folder):
    kept = record.load(folder / outcomes["gan"]["run"])
    assert (kept["strategy"], kept["replicas"], kept["mode"]) == ("mirrored", 2, "plain")
    assert kept["device"].startswith("2 x CPU (virtual), ")


def test_a_batch_that_cannot_be_shared_equally_is_refused(outcomes):
    assert outcomes["refused"]["code"] == ConfigError.exit_code
    text = "data.batch_size: 5 examples cannot be shared equally by 2 devices; write 4 or 6."
    assert text in outcomes["refused"]["error"]


def test_the_operation_that_first_gave_nan_is_found(outcomes):
    assert outcomes["diverging"]["code"] == Diverged.exit_code
    text = "The first operation with a result that is not finite is Square in step 2 (epoch 1), at "
    assert text in outcomes["diverging"]["error"]
    assert "raw.py:15: `loss = tf.reduce_mean(" in outcomes["diverging"]["error"]


def test_a_process_that_has_started_cannot_split_its_cpu_anymore():
    started = len(tf.config.list_logical_devices("CPU"))
    text = (
        f"execution.virtual_devices is {started + 1}, but TensorFlow has started with {started} "
        "in this process and keeps them; start a new process."
    )
    with pytest.raises(DeviceError, match=f"^{re.escape(text)}$"):
        choose_strategy("mirrored", "cpu", started + 1)
