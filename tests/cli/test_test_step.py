"""`fitx test-step` on right steps, and on wrong ones that each check has to find."""

import json
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

import click
import pytest

from fitx.cli.main import group
from fitx.commands.test_step import FAILED, NOT_CHECKED, OK

HEAD = """
import keras
import tensorflow as tf
from fitx import Step, steps

"""
EXPERIMENT = """
name: own
plugins: [own.py]
step: own
networks: {{{networks}}}
optimizers: {{{optimizers}}}
data: {{name: random, rows: 37, features: 4, batch_size: 8}}
fit: {{epochs: 2}}
"""
MLP = "{name: mlp, units: [4], outputs: 1}"


@pytest.fixture
def tested(tmp_path, monkeypatch):
    """Test a step by the command in this process; return the code and the findings by check."""
    monkeypatch.chdir(tmp_path)

    def tested(source, *words, networks=("model",), trained=("model",), **texts):
        (tmp_path / "own.py").write_text(HEAD + source)
        text = texts.get("experiment") or EXPERIMENT.format(
            networks=", ".join(f"{name}: {MLP}" for name in networks),
            optimizers=", ".join(
                f"{name}: {{name: adam, learning_rate: 0.01}}" for name in trained
            ),
        )
        (tmp_path / "own.yaml").write_text(text)
        output = StringIO()
        arguments = ["test-step", "own.yaml", *words, "--quick", "--json", "-q"]
        with redirect_stdout(output), redirect_stderr(StringIO()):
            try:
                code = group.main(arguments, standalone_mode=False) or 0
            except click.exceptions.Exit as error:
                code = error.exit_code
        report = json.loads(output.getvalue())
        assert (code, report.get("code")) in ((0, None), (6, 6))
        assert sorted(path.name for path in tmp_path.iterdir()) == ["own.py", "own.yaml"]
        return code, {f["check"]: (f["status"], f["text"]) for f in report["findings"]}

    return tested


def failed(findings):
    """Return the texts of the failed findings by check."""
    return {check: text for check, (status, text) in findings.items() if status == FAILED}


RIGHT = """
@steps.register
class Own(Step):
    def __init__(self, model, teacher):
        super().__init__(model=model, teacher=teacher)
        self.noise = keras.random.SeedGenerator(1)

    def train_step(self, data):
        x, y = data
        x += keras.random.normal(tf.shape(x), seed=self.noise)
        with tf.GradientTape() as tape:
            target = tf.cast(self.teacher(x), "float32") + y
            loss = tf.reduce_mean((tf.cast(self.model(x), "float32") - target) ** 2)
        self.minimize(loss, tape, "model")
        return {"loss": loss}
"""


def test_a_right_step_passes_and_what_cannot_be_judged_is_said(tested):
    code, findings = tested(RIGHT, networks=("model", "teacher"))
    assert code == 0
    assert findings == {
        "gradients": (OK, "reach all 4 trained variables"),
        "frozen": (OK, "training changes nothing of teacher"),
        "loss": (OK, findings["loss"][1]),
        "metrics": (OK, "loss: begin anew with each epoch"),
        "evaluation": (
            NOT_CHECKED,
            "the step has neither a test_step nor a loss, so it is not evaluated",
        ),
        "rows": (OK, "one trace takes 8 rows and 4"),
        "modes": (OK, findings["modes"][1]),
        "precision": (OK, findings["precision"][1]),
        "devices": (NOT_CHECKED, "left out, as the command line says"),
        "resume": (NOT_CHECKED, "left out, as the command line says"),
    }
    assert findings["loss"][1].startswith("falls: loss ")
    assert findings["modes"][1] == (
        "the same values in plain, eager, fused; xla: not compared, because XLA draws other "
        "random numbers; fused_xla: not compared, because XLA draws other random numbers"
    )


MANY_FAULTS = """
class Stuck(keras.metrics.Mean):
    def reset_state(self):
        pass


@steps.register
class Own(Step):
    def __init__(self, first, second, teacher):
        super().__init__(first=first, second=second, teacher=teacher)
        self.error = Stuck(name="error")

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self.first(x) + tf.stop_gradient(self.second(x)) - y) ** 2)
        weights = self.first.trainable_variables
        self.first_optimizer.apply(tape.gradient(loss, weights), weights)
        for old, new in zip(self.teacher.variables, self.first.variables):
            old.assign(0.9 * old + 0.1 * new)
        self.error.update_state(loss)
        return {"loss": loss, "error": self.error.result()}

    def test_step(self, data):
        x, y = data
        loss = tf.reduce_mean((self.first(x) - y) ** 2)
        self.first.trainable_variables[0].assign_add(loss * tf.ones((4, 4)))
        return {"loss": loss}
"""


def test_gradients_frozen_networks_metrics_and_evaluations_are_judged(tested):
    code, findings = tested(
        MANY_FAULTS, networks=("first", "second", "teacher"), trained=("first", "second")
    )
    assert code == 6
    texts = failed(findings)
    assert set(texts) == {"gradients", "frozen", "metrics", "evaluation"}
    assert texts["gradients"].startswith("no gradient reaches: second/")
    assert texts["gradients"].count("second/") == 4
    assert texts["gradients"].endswith(
        ". Compute the loss inside the GradientTape from all networks that it trains, by "
        "operations of TensorFlow or keras.ops, and without tf.stop_gradient or rounding on the "
        "way."
    )
    assert texts["frozen"].startswith("training changes teacher/")
    assert texts["frozen"].endswith(
        ", which no optimizer trains. Call a frozen network with training=False and assign "
        "nothing to it; a network that follows another one is written `{copy_of: NAME}`."
    )
    assert findings["loss"][1].startswith("falls: first: loss ")
    assert findings["loss"][1].endswith("; no logged loss depends on what second trains")
    assert texts["metrics"] == (
        "the metric error keeps its state when an epoch begins: an epoch would log values of "
        "earlier ones. Let its reset_state set every variable, and let an own reset_metrics call "
        "super().reset_metrics()."
    )
    assert texts["evaluation"].startswith("an evaluation changes first/")
    assert texts["evaluation"].endswith(
        "/kernel. Call networks with training=False in test_step, and assign to metrics only."
    )


ASCENDING = """
@steps.register
class Own(Step):
    def __init__(self, model):
        super().__init__(model=model)

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            error = tf.reduce_sum((self.model(x) - y) ** 2) / 8
            ascent = -error
        self.minimize(ascent, tape, "model")
        return {"loss": error}
"""


def test_a_rising_loss_and_a_constant_number_of_rows_are_found(tested):
    texts = failed(tested(ASCENDING)[1])
    # In bfloat16, y is float32.
    assert set(texts) - {"precision"} == {"loss", "rows"}
    assert texts["loss"].startswith("the loss does not fall: loss ")
    assert texts["loss"].endswith(
        " in 25 steps on one batch. Look at the sign of the loss, at the learning rate, and at "
        "the variables that the optimizer gets."
    )
    assert texts["rows"].startswith("loss of a batch is ")
    assert texts["rows"].endswith(
        " of its halves: it is no mean over the rows, so a short batch counts too little. Use the "
        "rows of the batch, tf.shape(x)[0], in place of a number of Python."
    )


PYTHON_ROWS = """
@steps.register
class Own(Step):
    def __init__(self, model):
        super().__init__(model=model)

    def train_step(self, data):
        x, y = data
        weights = tf.ones((x.shape[0], 1))
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(weights * (self.model(x) - y) ** 2)
        self.minimize(loss, tape, "model")
        return {"loss": loss}
"""


def test_a_step_for_batches_of_one_size_is_found_and_the_rest_is_judged(tested):
    _, findings = tested(PYTHON_ROWS)
    status, text = findings["rows"]
    assert status == FAILED
    assert text.startswith("train_step on the train split: ")
    assert "weights = tf.ones((x.shape[0], 1))" in text
    assert findings["loss"][0] == OK


PYTHON_STATE = """
class Counting(keras.Model):
    def __init__(self, body):
        super().__init__()
        self.body = body
        self.head = keras.layers.Dense(1)
        self.rounds = 0

    def call(self, x):
        return self.head(self.body(x))

    def train_step(self, data):
        x, y = data
        self.rounds += 1
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x) - y) ** 2) * self.rounds
        weights = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        return {"loss": loss}
"""
CLASS = f"""
plugins: [own.py]
step: Counting
networks: {{body: {MLP}}}
optimizer: {{name: adam, learning_rate: 0.01}}
data: {{name: random, rows: 37, features: 4, batch_size: 8}}
"""


def test_state_in_python_and_a_dtype_are_found_in_a_plain_class(tested):
    texts = failed(tested(PYTHON_STATE, experiment=CLASS)[1])
    assert set(texts) == {"modes", "precision"}
    assert texts["modes"].startswith("run as Python (execution.eager), after 4 steps, loss is ")
    assert texts["modes"].endswith(
        ". A traced step runs its Python once: keep numbers that change in a tf.Variable, draw "
        "random numbers by keras.random, and branch on tensors by tf.cond or keras.ops.where."
    )
    assert texts["precision"].startswith("in mixed_bfloat16, train_step on the train split: ")
    assert "own.py" in texts["precision"]
    assert texts["precision"].endswith(
        "\nNetworks return bfloat16 there, and data are float32: cast one to the other, such as by "
        "tf.cast(y_pred, y.dtype). A step that is never to run so is tested with --skip precision."
    )
    _, findings = tested(PYTHON_STATE, "--skip", "precision", "--skip=modes", experiment=CLASS)
    assert not failed(findings)
    assert findings["precision"] == (NOT_CHECKED, "left out, as the command line says")


LOST = """
@steps.register
class Own(Step):
    def __init__(self, model):
        super().__init__(model=model)
        self.count = 0

    def counted(self):
        self.count += 1
        return float(self.count)

    def train_step(self, data):
        x, y = data
        count = tf.py_function(self.counted, [], "float32")
        count.set_shape(())
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self.model(x) - y) ** 2)
        self.minimize(loss, tape, "model")
        return {"loss": loss, "count": count}
"""


def test_a_counter_that_resume_loses_and_that_each_device_raises_is_found(fitx, tmp_path):
    (tmp_path / "own.py").write_text(HEAD + LOST)
    (tmp_path / "own.yaml").write_text(
        EXPERIMENT.format(networks=f"model: {MLP}", optimizers="model: adam")
    )
    done = fitx(tmp_path, "test-step", "own.yaml", env={"TMPDIR": str(tmp_path)})
    assert done.code == 6
    lines = {line[13:25].strip(): line for line in done.out.splitlines()}
    assert lines["devices"].startswith("failed       devices     on two devices, count is ")
    assert lines["devices"].endswith(
        " instead of 1.5. Each device computes its rows of a batch: a loss and a returned value "
        "have to be means over rows (docs/execution.md)."
    )
    assert lines["resume"].startswith("failed       resume      not exact: the training ")
    assert "first logged difference: metrics.jsonl, epoch 2: count: " in done.out
    assert done.err.splitlines()[-1].startswith("own, step own: ")


def test_the_command_prints_a_line_for_each_check(fitx, tmp_path):
    done = fitx(tmp_path, "test-step", "guide/simple")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert [line[13:25].strip() for line in lines[:-1]] == [
        *("gradients", "frozen", "loss", "metrics", "evaluation", "rows"),
        *("modes", "precision", "devices", "resume"),
    ]
    assert lines[-2] == (
        "ok           resume      a training that is interrupted and resumed ends with the "
        "same bits"
    )
    assert lines[-3] == "ok           devices     two devices give the values of one"
    assert lines[-1] == "simple, step supervised: 9 ok, 1 not checked"
    assert list(tmp_path.iterdir()) == []


def test_an_experiment_that_trains_nothing_is_refused(fitx, tmp_path):
    done = fitx(tmp_path, "test-step", "guide/evaluation")
    assert (done.code, done.out) == (2, "")
    assert "optimizer: missing; a network without an optimizer is frozen" in done.err
