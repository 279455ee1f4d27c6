"""What XLA cannot compile is told by the user's own line, or by the layer it comes from."""

import pytest

from fitx.build.execution_setup import PlannedSteps, prepare_execution
from fitx.build.make import make
from fitx.build.operation_reports import uncompilable
from fitx.build.preflight import trace_and_check
from fitx.experiment.problems import ConfigError
from fitx.training.setup import prepare_runtime

PRINTING = """
    import tensorflow as tf
    from fitx.step import Step
    from fitx.steps import register

    @register
    class Printing(Step):
        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
            tf.print("loss", loss)
            self.minimize(loss, tape, "model")
            return {"loss": loss}
"""
LINE = 'StringFormat of printing.py:11 (`tf.print("loss", loss)`), which it does not support'
ROTATION = (
    "model={name: sequential, layers: [{name: reshape, target_shape: [1, 1, 3]},"
    " {name: random_rotation, factor: 0.1}, flatten, {name: dense, units: 1}]}"
)


def traced(experiment):
    built = make(experiment)
    trace_and_check.trace(built)
    return built


def said(built):
    return uncompilable(built, built.step.execution.step_graphs["train"].newest, 8, "cpu")


def settled(built, steps=10_000):
    device = prepare_runtime(built.experiment)
    plan = prepare_execution(built, device, [PlannedSteps("train", "train", steps)])
    return plan.modes["train"].name, plan.reasons["train"]


def test_a_step_that_can_be_compiled_is_told_nothing_about(written):
    assert said(traced(written())) is None


def test_a_plugins_operation_is_told_by_its_line(written):
    built = traced(written("step=printing", "~loss", printing=PRINTING))
    assert said(built) == LINE


def test_a_layers_operation_is_told_by_the_layer(written):
    assert said(traced(written(ROTATION))) == (
        "ImageProjectiveTransformV3 of the layer 'random_rotation', which it does not support"
    )


def test_auto_does_without_xla_and_says_why_in_one_line(written):
    built = traced(written("step=printing", "~loss", printing=PRINTING))
    assert settled(built) == ("fused", f"XLA cannot compile {LINE}")


@pytest.mark.parametrize("mode", ["xla", "fused_xla"])
def test_a_mode_of_xla_that_is_asked_for_is_refused(written, mode):
    words = "step=printing", "~loss", f"execution.mode={mode}"
    built = traced(written(*words, printing=PRINTING))
    with pytest.raises(ConfigError) as refused:
        settled(built)
    assert str(refused.value) == (
        f"command line: execution.mode={mode}: execution.mode: "
        f"XLA cannot compile {LINE}; write `mode: auto`."
    )


@pytest.mark.parametrize("mode", ["plain", "fused"])
def test_other_modes_take_any_operation(written, mode):
    words = "step=printing", "~loss", f"execution.mode={mode}"
    assert settled(traced(written(*words, printing=PRINTING)))[0] == mode
