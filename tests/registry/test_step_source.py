"""What steps take and log, read from the source of their methods."""

import pytest

from fitx.registry import source
from fitx.registry.catalogue import Catalogue
from fitx.registry.source import Found
from fitx.registry.step_source import COMPILED, StepFacts, facts

HEAD = """
import keras
import tensorflow as tf
from keras import metrics as m
from keras.metrics import Mean, MeanAbsoluteError
from fitx import Step, steps
"""
LOSS_AND_METRICS = frozenset({"loss", COMPILED})


@pytest.fixture
def read(tmp_path):
    """Read the facts of the class `Mine` whose body, or whole source, is given."""

    def facts_of(body, *, whole=""):
        lines = "".join(f"    {line}\n" for line in body.strip("\n").splitlines())
        text = whole or f"class Mine(Step):\n{lines}"
        path = tmp_path / f"step_{len(list(tmp_path.iterdir()))}.py"
        path.write_text(HEAD + text, encoding="utf-8")
        module = source.read(path)
        return facts(Found(module, module.definitions["Mine"]))

    return facts_of


@pytest.fixture
def train_logs(read):
    """Read what a step logs whose train_step has the given body."""

    def logs_of(body, members=""):
        lines = "".join(f"    {line}\n" for line in body.strip("\n").splitlines())
        logs = read(f"{members}\ndef train_step(self, data):\n{lines}").train_logs
        # Without a test_step, metrics are Keras' business.
        return None if logs is None else set(logs) - {COMPILED}

    return logs_of


def test_the_shipped_steps():
    catalogue = Catalogue()
    gan = frozenset({"d_loss", "g_loss"})
    own = frozenset({"loss", "mae"})
    assert catalogue.step("gan") == StepFacts(False, False, gan, gan, True)
    assert catalogue.step("low_level") == StepFacts(False, False, own, own, True)
    assert catalogue.step("supervised") == StepFacts(
        True, True, LOSS_AND_METRICS, LOSS_AND_METRICS, True
    )
    assert catalogue.step("nothing") is None


def test_the_guide_s_first_body(read):
    found = read(
        """
def train_step(self, data):
    x, y = data
    with tf.GradientTape() as tape:
        y_pred = self(x, training=True)
        loss = self.compute_loss(y=y, y_pred=y_pred)
    trainable_vars = self.trainable_variables
    gradients = tape.gradient(loss, trainable_vars)
    self.optimizer.apply(gradients, trainable_vars)
    for metric in self.metrics:
        if metric.name == "loss":
            metric.update_state(loss)
        else:
            metric.update_state(y, y_pred)
    return {m.name: m.result() for m in self.metrics}
"""
    )
    assert found == StepFacts(True, True, LOSS_AND_METRICS, LOSS_AND_METRICS, False)


def test_the_guide_s_second_body(read):
    found = read(
        """
def __init__(self, *args, **kwargs):
    super().__init__(*args, **kwargs)
    self.loss_tracker = keras.metrics.Mean(name="loss")
    self.mae_metric = keras.metrics.MeanAbsoluteError(name="mae")
    self.loss_fn = keras.losses.MeanSquaredError()

def train_step(self, data):
    x, y = data
    with tf.GradientTape() as tape:
        y_pred = self(x, training=True)
        loss = self.loss_fn(y, y_pred)
    gradients = tape.gradient(loss, self.trainable_variables)
    self.optimizer.apply(gradients, self.trainable_variables)
    self.loss_tracker.update_state(loss)
    self.mae_metric.update_state(y, y_pred)
    return {"loss": self.loss_tracker.result(), "mae": self.mae_metric.result()}

@property
def metrics(self):
    return [self.loss_tracker, self.mae_metric]
"""
    )
    own = frozenset({"loss", "mae"})
    assert found == StepFacts(False, False, own, own, False)


def test_the_guide_s_evaluation_body(read):
    found = read(
        """
def test_step(self, data):
    x, y = data
    y_pred = self(x, training=False)
    loss = self.compute_loss(y=y, y_pred=y_pred)
    for metric in self.metrics:
        if metric.name != "loss":
            metric.update_state(y, y_pred)
    return {m.name: m.result() for m in self.metrics}
"""
    )
    assert found == StepFacts(True, True, LOSS_AND_METRICS, LOSS_AND_METRICS, True)


def test_an_empty_step_is_keras_own(read):
    assert read("pass") == StepFacts(True, True, LOSS_AND_METRICS, LOSS_AND_METRICS, True)


def test_a_step_s_base_counts_as_its_own(read):
    whole = """
class Base(Step):
    def train_step(self, data):
        return {"loss": self.compute_loss(y=data, y_pred=data)}

class Mine(Base):
    def test_step(self, data):
        return self.compute_metrics(data, data, data)
"""
    found = read("", whole=whole)
    assert found.train_logs == {"loss"}
    assert found.test_logs == LOSS_AND_METRICS
    assert (found.takes_loss, found.takes_metrics) == (True, True)


@pytest.mark.parametrize(
    ("body", "logs"),
    [
        ('return {"a": 1, "b": 2}', {"a", "b"}),
        ("return dict(a=1, b=2)", {"a", "b"}),
        ('return dict({"a": 1}, b=2)', {"a", "b"}),
        ('return {"a": 1} | {"b": 2}', {"a", "b"}),
        ('return {**self.parts(), "c": 1}', {"p", "c"}),
        ("return self.parts()", {"p"}),
        ("return dict(self.parts())", {"p"}),
        ('logs = {"a": 1}\nlogs["b"] = 2\nreturn logs', {"a", "b"}),
        ('logs: dict = {"a": 1}\nreturn logs', {"a"}),
        ('logs = {"a": 1}\nlogs |= {"b": 2}\nreturn logs', {"a", "b"}),
        ('logs = {"a": 1}\nlogs.update({"b": 2})\nreturn logs', {"a", "b"}),
        ('logs = {}\nlogs["a"] = 1\nreturn logs', {"a"}),
        ('if data:\n    return {"a": 1}\nreturn {"b": 2}', {"a", "b"}),
        ('def inner():\n    return 3\nreturn {"a": inner()}', {"a"}),
        ("return self.get_metrics_result()", set()),
        # Only running it can tell:
        ("return compute(data)", None),
        ("return self.helper.logs()", None),
        ("return self.missing(data)", None),
        ('return {f"loss_{data}": 1}', None),
        ("return {name: 1 for name in data}", None),
        ("return {m.name: 1 for m in self.other}", None),
        ('logs = {"a": 1}\nfor k in data:\n    logs[k] = 1\nreturn logs', None),
        ('logs = {"a": 1}\nself.fill(logs)\nreturn logs', None),
        ('logs = {"a": 1}\nlogs.update(data)\nreturn logs', None),
        ('logs = {"a": 1}\nlogs.pop("a")\nreturn logs', None),
        ('logs = other = {"a": 1}\nreturn logs', None),
        ("logs = self.many(data)\nreturn logs", None),
        ("return logs", None),
        ("return", None),
        ("pass", None),
        ("return super().train_step(data)", None),
        ("return self.train_step(data)", None),
        ("return lambda: 1", None),
    ],
)
def test_what_a_body_logs(train_logs, body, logs):
    members = 'def parts(self):\n    return {"p": 1}\n\ndef fill(self, logs): ...\n'
    assert train_logs(body, members) == logs


@pytest.mark.parametrize(
    ("made", "name"),
    [
        ('keras.metrics.Mean(name="a")', "a"),
        ('keras.metrics.Mean("a")', "a"),
        ("keras.metrics.MeanAbsoluteError()", "mean_absolute_error"),
        ('tf.keras.metrics.Mean(name="a")', "a"),
        ('m.Mean(name="a")', "a"),
        ('Mean(name="a")', "a"),
        ("MeanAbsoluteError()", "mean_absolute_error"),
        ("Mean(name=chosen)", None),
        ("Mean(chosen)", None),
        ('mine.Mean(name="a")', None),
    ],
)
@pytest.mark.parametrize("listed", ["", "@property\ndef metrics(self):\n    return [self.t]\n"])
def test_a_tracker_is_logged_by_its_name(train_logs, made, name, listed):
    members = f"def __init__(self, model):\n    self.t = {made}\n{listed}\n"
    logs = train_logs("return {m.name: m.result() for m in self.metrics}", members)
    assert logs == (None if name is None else {name})


@pytest.mark.parametrize(
    "value",
    [
        "keras.losses.MeanSquaredError()",
        "keras.random.SeedGenerator(3)",
        "tf.Variable(0.0)",
        "float(3)",
        "model.input_shape[-1]",
        "0.5",
    ],
)
def test_attributes_that_are_no_metrics_are_passed_over(train_logs, value):
    members = f"def __init__(self, model):\n    self.other = {value}\n"
    assert train_logs("return self.get_metrics_result()", members) == set()


@pytest.mark.parametrize("value", ["Custom()", "[Mean(), Mean()]", "make(3)", "self.make()"])
def test_attributes_that_may_be_metrics_leave_it_to_the_run(train_logs, value):
    members = f"def __init__(self, model):\n    self.other = {value}\n"
    assert train_logs("return self.get_metrics_result()", members) is None


@pytest.mark.parametrize(
    "returned",
    ["super().metrics + [self.t]", "[*super().metrics, self.t]", "[self.t, self.u]", "self.all"],
)
def test_a_metrics_property_that_returns_more_leaves_it_to_the_run(train_logs, returned):
    members = f"""
def __init__(self, model):
    self.t = Mean(name="t")

@property
def metrics(self):
    return {returned}

"""
    assert train_logs("return self.get_metrics_result()", members) is None


def test_a_metrics_property_with_a_docstring_and_statements(train_logs):
    members = '''
def __init__(self, model):
    self.t = Mean(name="t")

@property
def metrics(self):
    """Mine."""
    {statement}
    return [self.t]

'''
    body = "return self.get_metrics_result()"
    assert train_logs(body, members.replace("{statement}", "...")) == {"t"}
    assert train_logs(body, members.replace("{statement}", "x = 1")) is None


def test_loss_and_metrics_are_taken_only_by_steps_that_use_them(read):
    found = read(
        """
def train_step(self, data):
    return {"a": 1}

def test_step(self, data):
    return {"a": 1}
"""
    )
    assert (found.takes_loss, found.takes_metrics) == (False, False)
    old = read(
        """
def train_step(self, data):
    loss = self.compiled_loss(data, data)
    self.compiled_metrics.update_state(data, data)
    return {"a": 1}

def test_step(self, data):
    return {"a": 1}
"""
    )
    assert (old.takes_loss, old.takes_metrics) == (True, True)


@pytest.mark.parametrize(
    ("line", "scales"),
    [
        ("self.minimize(loss, tape, 'model')", True),
        ("self.optimizer.apply(tape.gradient(loss, v), v)", False),
        ("self.optimizer.apply_gradients(zip(g, v))", False),
        ("self.generator_optimizer.apply(g, v)", False),
        ("self.optimizer.apply(tape.gradient(self.optimizer.scale_loss(loss), v), v)", True),
    ],
)
def test_a_step_that_applies_gradients_itself_scales_the_loss_itself(read, line, scales):
    assert read(f"def train_step(self, data):\n    {line}").scales_loss is scales


def test_keras_own_step_scales_the_loss(read):
    assert read("pass").scales_loss
