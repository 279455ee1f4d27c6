"""Trains experiments that start from the networks of another run."""

import shutil

import keras
import numpy as np
import pytest

from fitx.commands.evaluate import EvaluationRequest, evaluate
from fitx.commands.resume import resume
from fitx.errors import UsageError
from fitx.experiment.problems import ConfigError
from fitx.rundir.saved_experiment import read_target
from fitx.rundir.source_runs import with_source_runs
from fitx.training.resumption.resume_request import open_for_resume

STILL = "optimizer={name: sgd, learning_rate: 0.0}"
WIDER = "model={name: sequential, layers: [{name: dense, units: 5}, {name: dense, units: 1}]}"
NETWORK = "{name: sequential, layers: [{name: dense, units: 3}, {name: dense, units: 1}]}"
DEEPER = f"model={NETWORK.replace(']', ', {name: dense, units: 1}]')}"
PAIR = """
import tensorflow as tf
from fitx import Step, steps

@steps.register
class Plugin(Step):
    '''Trains a student on the answers of a teacher.'''
    def __init__(self, student, teacher, average):
        super().__init__(student=student, teacher=teacher, average=average)
    def train_step(self, data):
        x, _ = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self.student(x) - self.teacher(x)) ** 2)
        self.minimize(loss, tape, "student")
        return {"loss": loss}
"""


SCALED = """
import keras
import tensorflow as tf

@keras.saving.register_keras_serializable()
class Scaled(keras.Model):
    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.dense = keras.layers.Dense(1)
        self.scale = tf.Variable(2.0)
        self.build((None, 4))
    def build(self, shape):
        self.dense.build(shape)
        self.built = True
    def call(self, x):
        return self.scale * self.dense(x)
"""


@pytest.fixture
def after(tiny, trained, tmp_path, recording):
    """Train an experiment after a run; return its run, its display, or the error that ended it."""

    def after(*words, plugin=None):
        display = recording()
        try:
            experiment = with_source_runs(tiny(*words, plugin=plugin), tmp_path / "runs")
        except ConfigError as error:
            return None, str(error)
        run, result = trained(experiment, display)
        return (None, str(result)) if isinstance(result, Exception) else (run, display)

    return after


def weights(run, name="model", best=""):
    return keras.models.load_model(run.folder / f"networks/{best}{name}.keras").get_weights()


@pytest.mark.parametrize(
    ("suffix", "best"), [("", ""), ("@last", ""), ("@best", "best/")], ids=["plain", "last", "best"]
)
def test_a_network_starts_with_the_weights_of_a_run(tiny, trained, after, suffix, best):
    first, _ = trained(tiny("name=first", "optimizer.learning_rate=0.5", "fit.epochs=5"))
    second, display = after(f"after=first{suffix}", STILL)

    np.testing.assert_equal(weights(second), weights(first, best=best))
    assert display.notes[0].startswith(
        f"model starts with the weights of 'model' of {first.folder}"
    )
    (name, origin), *_ = second.record["after"].items()
    assert (name, origin["id"], origin["network"]) == ("model", first.record["id"], "model")


def test_averaged_weights_are_taken_as_the_run_ended_with_them(tiny, trained, after):
    averaged = "optimizer={name: adam, learning_rate: 0.3, use_ema: true}"
    first, _ = trained(tiny("name=first", averaged))
    second, _ = after("after=first", STILL)

    np.testing.assert_equal(weights(second), weights(first))


def test_each_network_may_start_from_a_network_of_a_run(tiny, trained, after):
    first, _ = trained(tiny("name=first"))
    networks = f"networks={{student: {NETWORK}, teacher: {NETWORK}, average: {{copy_of: teacher}}}}"
    words = (networks, "optimizers={student: adam}", "step=plugin")
    removed = ("~model", "~optimizer", "~loss", "~metrics", "~checkpoint")
    run, display = after(*removed, *words, "after={teacher: 'first:model'}", plugin=PAIR)

    for frozen in ("teacher", "average"):
        np.testing.assert_equal(weights(run, frozen), weights(first))
    assert display.notes[1] == "student starts with new weights"
    *_, text = after(*removed, *words, "after=first", plugin=PAIR)
    assert "the run has model, the experiment student, teacher, average" in text


def test_a_run_goes_on_and_is_evaluated_without_the_run_it_started_from(
    tiny, trained, after, tmp_path, recording
):
    trained(tiny("name=first", "fit.epochs=1"))
    straight, _ = after("after=first", "name=straight", "fit.epochs=4")
    second, _ = after("after=first", "fit.epochs=2")
    shutil.rmtree(tmp_path / "runs/first")
    with open_for_resume(second.folder, ("fit.epochs=4",), allow_inexact=False) as request:
        resume(request, recording())

    np.testing.assert_equal(weights(second), weights(straight))
    target = read_target(str(second.folder), (), tmp_path / "runs")
    measured = evaluate(target.experiment, EvaluationRequest(run=target.run), recording())
    assert measured.metrics["loss"] == second.json("summary.json")["metrics"]["test_loss"]
    with (
        pytest.raises(UsageError, match="after: first -> second"),
        open_for_resume(second.folder, ("after=second",), allow_inexact=False),
    ):
        pass


def test_an_untrained_experiment_is_evaluated_with_the_weights_of_the_run(
    tiny, trained, tmp_path, recording
):
    first, _ = trained(tiny("name=first"))
    target = read_target(str(tmp_path / "tiny.yaml"), ("after=first",), tmp_path / "runs")
    measured = evaluate(target.experiment, EvaluationRequest(), recording())

    assert measured.metrics["loss"] == first.json("summary.json")["metrics"]["test_loss"]


def test_a_run_beside_the_file_is_found_by_its_path(tiny, trained, after, tmp_path):
    first, _ = trained(tiny("name=first"))
    (tmp_path / "tiny.yaml").write_text((tmp_path / "tiny.yaml").read_text() + "after: kept\n")
    shutil.move(first.folder, tmp_path / "kept")
    second, _ = after(STILL)

    assert second.record["after"]["model"]["run"] == str(tmp_path / "kept")


def test_networks_that_do_not_fit_and_runs_that_do_not_exist_are_refused(tiny, trained, after):
    trained(tiny("name=first", "~checkpoint"))
    refused = {
        "after=frist": "no run is called 'frist'",
        "after=first@best": "keeps no best epoch; train with checkpoint.monitor set.",
        "after={model: 'first:modl'}": "has no network 'modl'; it has model. Did you mean 'model'?",
        "after={modle: first}": "no network is called 'modle'; expected model.",
        "after={model: first@worst}": "expected RUN, RUN@best, or either followed by :NETWORK",
        "after=[first]": "expected RUN, RUN@best, or a mapping from networks to runs",
    }
    for word, text in refused.items():
        assert text in after(word)[1], word
    *_, text = after("after=first", WIDER)
    assert text == (
        "command line: after=first: after: the network 'model' of first does not fit 'model': "
        "'sequential/dense/kernel' has the shape (4, 3) there and (4, 5) here; "
        "'sequential/dense/bias' has the shape (3,) there and (5,) here; "
        "'sequential/dense_1/kernel' has the shape (3, 1) there and (5, 1) here."
    )
    assert "it has no 'sequential/dense_2/kernel'" in after("after=first", DEEPER)[1]
    trained(tiny("name=second", DEEPER))
    assert "its 'sequential/dense_2/kernel' is missing here" in after("after=second")[1]


def test_a_variable_that_keras_does_not_track_is_taken_too(tiny, trained, after):
    words = ("model=Scaled", "optimizer={name: sgd, learning_rate: 0.01}")
    first, _ = trained(tiny("name=first", *words, plugin=SCALED))
    second, _ = after("after=first", *words, "fit.epochs=0", plugin=SCALED)

    assert second.record["after"]["model"]["id"] == first.record["id"]


def test_a_damaged_run_is_refused(tiny, trained, after):
    first, _ = trained(tiny("name=first"))
    for file in first.folder.glob("checkpoints/*/state.npz"):
        file.write_bytes(b"")

    assert "no checkpoint is valid" in after("after=first")[1]
    (first.folder / "samples/outside").symlink_to("/etc/hostname")
    assert "is a link to a place outside of the run" in after("after=first")[1]
