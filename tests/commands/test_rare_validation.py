"""A validation that never comes is refused where it is watched; a rare one is no harm."""

import pytest

from fitx.experiment.problems import ConfigError

OWN_NAMES = """
from fitx import Step, steps

@steps.register
class plugin(Step):
    def train_step(self, data):
        x, y = data
        import tensorflow as tf
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x) - y) ** 2)
        self.minimize(loss, tape, "model")
        return {"val_own_loss": loss}

    def test_step(self, data):
        x, y = data
        return {"error": abs(self(x) - y)[0, 0]}
"""
OWN = ("step=plugin", "~loss", "~metrics", "~checkpoint")


def keys(error):
    assert isinstance(error, ConfigError), error
    return [".".join(map(str, problem.path)) for problem in error.problems]


def test_an_expectation_holds_of_the_last_epoch_that_was_validated(tiny, trained):
    words = ("fit.epochs=3", "fit.validation_freq=2")
    run, result = trained(tiny(*words, "expect={val_loss: '< 1000', loss: '< 1000'}"))
    assert ["val_loss" in line for line in run.epochs] == [False, True, False]
    judged = {item["name"]: item for item in result.details["expect"]}
    assert judged["val_loss"]["met"] is True
    assert judged["val_loss"]["found"] == run.epochs[1]["val_loss"]
    assert judged["loss"]["found"] == run.epochs[2]["loss"]


def test_names_of_an_own_step_are_judged_by_epoch_once_it_is_traced(tiny, trained):
    words = (*OWN, "fit.epochs=2", "fit.validation_freq=3")
    run, error = trained(tiny(*words, "checkpoint={monitor: val_error}", plugin=OWN_NAMES))
    assert keys(error) == ["checkpoint.monitor"]
    assert (
        "'val_error' is never logged: validation runs every 3 epochs, and fit.epochs is 2."
        in str(error)
    )
    assert run is None
    # The step itself logs this name in every epoch.
    run, _ = trained(tiny(*words, "checkpoint={monitor: val_own_loss}", plugin=OWN_NAMES))
    assert run.record["best"]["monitor"] == "val_own_loss"


@pytest.mark.parametrize("key", ["validation_steps", "validation_freq"])
def test_options_of_a_validation_that_there_is_not_are_refused(tiny, trained, key):
    words = ("data={name: random, rows: 40, features: 4}", "~checkpoint", f"fit.{key}=2")
    run, error = trained(tiny(*words))
    assert keys(error) == [f"fit.{key}"]
    assert "has no effect: there is no validation; set data.validation_split" in str(error)
    assert run is None
    _, result = trained(tiny(*words), smoke=True)
    assert result.metrics["loss"] > 0


def test_more_batches_than_a_validation_has_are_refused(tiny, trained):
    run, error = trained(tiny("fit.validation_steps=3"))
    assert keys(error) == ["fit.validation_steps"]
    assert "is 3, and a validation has 2 batches" in str(error)
    assert run is None
    _, result = trained(tiny("fit.validation_steps=2", "fit.epochs=1"))
    assert result.metrics["val_loss"] > 0
