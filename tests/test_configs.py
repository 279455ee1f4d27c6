"""Every shipped experiment is found by itself and held to the same promises."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest

from fitx.build.make import make
from fitx.cli.display import NoDisplay
from fitx.commands import test_step as step_tests
from fitx.commands.evaluate import EvaluationRequest, evaluate
from fitx.commands.resume import resume
from fitx.commands.test_step import StepTestRequest
from fitx.commands.train import train
from fitx.experiment.after import network_sources
from fitx.experiment.check import read
from fitx.experiment.checks.monitored_values import logged
from fitx.experiment.yaml.locate import shipped
from fitx.registry.kinds import SHARED_OPTIMIZER
from fitx.rundir.source_runs import with_source_runs
from fitx.training.resumption.resume_request import open_for_resume
from fitx.training.setup import prepare_runtime
from fitx.training.train_request import TrainRequest

NAMES = sorted(
    {path: name for name, path in sorted(shipped().items(), key=lambda i: len(i[0]))}.values()
)
"""By their folder too: `guide/gan`."""

TRAINED = [name for name in NAMES if read(name).optimizers]

FEW = "fit.epochs=3", "fit.steps_per_epoch=6", "data.batch_size=16", "checkpoint.every=4 steps"
KILLED = "000008"
"""The checkpoint, within the second epoch, that a killed run goes on from."""
LOAD = """
import sys
sys.modules["fitx"] = None
import keras, numpy
for file in sys.argv[1:]:
    network = keras.saving.load_model(file, compile=False)
    arrays = dict(numpy.load(file + ".npz"))
    answer = arrays.pop("answer")
    x = list(arrays.values())
    print(numpy.allclose(network.predict(x[0] if len(x) == 1 else x, verbose=0), answer, atol=1e-6))
"""


@dataclass(frozen=True)
class Outcome:
    """Values, rows of the log and networks of one experiment after a few steps.

    Attributes:
        before: The networks before the first step.
        killed: The run folder as a kill after the checkpoint KILLED would have left it.
    """

    metrics: dict
    rows: list
    networks: dict
    files: dict
    before: dict
    killed: Path | None = None


class Copying(NoDisplay):
    """Copies the run folder as soon as the checkpoint KILLED is older than the last step."""

    def __init__(self, runs, copy):
        self.runs, self.copy, self.epoch = runs, copy, 0

    def epoch_begin(self, epoch):
        self.epoch = epoch

    def step(self, step, values):
        if not self.copy.exists() and (self.epoch - 1) * 6 + step > int(KILLED):
            # A thread writes it.
            while not (kept := list(self.runs.glob(f"*/2*/checkpoints/{KILLED}"))):
                time.sleep(0.001)
            shutil.copytree(kept[0].parents[1], self.copy)


@pytest.fixture(scope="module")
def outcome_of(tmp_path_factory):
    """Train an experiment for a few steps, or evaluate it if it has no optimizer; once each."""
    return cache(lambda name: outcome(name, tmp_path_factory.mktemp("runs")))


def few(name):
    """Return the overrides for a few steps; streams side by side keep their batch sizes."""
    is_zip = read(name).data.name == "zip"
    return [word for word in FEW if not (is_zip and word.startswith("data."))]


def outcome(name, out):
    experiment, runs = ready(name, out, *(few(name) if name in TRAINED else ())), out / "runs"
    if name not in TRAINED:
        metrics = evaluate(experiment, EvaluationRequest(), NoDisplay()).metrics
        return Outcome(metrics, [], {}, {}, {})
    before = untrained(experiment, out)
    result = train(experiment, TrainRequest(runs), Copying(runs, out / "killed"))
    return Outcome(result.metrics, *left_by(next(runs.glob("*/latest"))), before, out / "killed")


def untrained(experiment, out):
    """Return the networks that an experiment begins with, as they are saved and loaded."""
    prepare_runtime(experiment)
    for name, network in make(experiment).step.execution.contents.networks.items():
        network.save(out / f"{name}.keras")
    return {file.stem: load(file) for file in out.glob("*.keras")}


def load(file):
    return keras.saving.load_model(file, compile=False)


def left_by(run):
    """Return the log of a run without its times, and its networks and their files by name."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    rows = [{**json.loads(line), "seconds": 0} for line in lines]
    files = {file.stem: file for file in run.glob("networks/*.keras")}
    return rows, {name: load(file) for name, file in files.items()}, files


def ready(name, out, *words):
    """Read an experiment; train the shipped experiments whose runs it starts from for an epoch."""
    experiment = read(name, words)
    runs = {source.run for source in network_sources(experiment.after)}
    for other in (other for other in NAMES if runs & {read(other).name}):
        first = ready(other, out / "earlier", *FEW, "fit.epochs=1")
        train(first, TrainRequest(out / "earlier"), NoDisplay())
    return with_source_runs(experiment, out / "earlier")


def commands(name):
    """The commands that the header of an experiment gives, as words after `fitx`."""
    header = shipped()[name].read_text().split("\nname:")[0]
    lines = [line.removeprefix("#").strip() for line in header.splitlines()]
    return [shlex.split(line.split("   ")[0])[1:] for line in lines if line.startswith("fitx ")]


def inputs(network):
    """Return three random rows for each input of a network; sequences have four elements."""
    random = np.random.default_rng(0)
    shapes = [[size or 4 for size in tensor.shape[1:]] for tensor in network.inputs]
    return [random.random((3, *shape), np.float32) for shape in shapes]


def test_there_are_experiments():
    assert {"digits", "guide/simple", "guide/gan"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_header_gives_commands_that_check_clean_the_plain_one_first(name):
    runs = {source.run for source in network_sources(read(name).after)}
    earlier = [["train", other] for other in NAMES if runs & {read(other).name}]
    given = commands(name)
    first, *others = given[len(earlier) :]

    assert given[: len(earlier)] == earlier
    assert first == ["train" if name in TRAINED else "evaluate", name]
    for verb, file, *words in others:
        assert verb in ("train", "evaluate")
        read(file, words)


@pytest.mark.parametrize("name", NAMES)
def test_the_data_need_no_network(name):
    experiment = read(name)
    found = experiment.part_index.find("dataset", experiment.data.name)

    assert "_keras_images" not in found.module.path.read_text()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_logged_is_what_the_source_of_the_step_declares(name, outcome_of):
    experiment, found = read(name), outcome_of(name).metrics
    declared = logged(experiment, experiment.step_facts)
    plain = {key for key in found if not key.startswith(("val_", "test_"))}
    measured = {key.split("_", 1)[1] for key in found if key.startswith(("val_", "test_"))}

    assert plain == declared
    assert measured in (set(), declared)


@pytest.mark.parametrize("name", TRAINED)
def test_the_first_loss_falls_within_a_few_steps(name, outcome_of):
    rows = outcome_of(name).rows
    loss = next(key for key in rows[0] if key.endswith("loss"))

    assert [row["step"] for row in rows] == [6, 12, 18]
    assert rows[-1][loss] < rows[0][loss]


@pytest.mark.parametrize("name", TRAINED)
def test_every_trained_variable_moves_and_nothing_of_a_frozen_network(name, outcome_of):
    experiment, found = read(name), outcome_of(name)

    assert set(found.before) == set(found.networks) == set(experiment.networks)
    for network, before in found.before.items():
        trained = bool({network, SHARED_OPTIMIZER} & experiment.optimizers.keys())
        kind = "trainable_weights" if trained else "weights"
        if network in experiment.copies or not before.weights:
            # The step changes a copy, as a moving average for example. Some have no weights, as
            # networks of random layers.
            continue
        pairs = zip(getattr(before, kind), getattr(found.networks[network], kind), strict=True)
        assert {not np.array_equal(b, a) for b, a in pairs} == {trained}


@pytest.mark.parametrize("name", TRAINED)
def test_a_run_that_is_killed_and_resumed_ends_as_if_it_had_not_been(name, outcome_of):
    straight = outcome_of(name)
    run = straight.killed
    # In another mode, which computes the same to the bit.
    with open_for_resume(run, ("execution.mode=fused",), allow_inexact=True) as request:
        result = resume(request, NoDisplay())
    rows, networks, _ = left_by(run)

    assert json.loads((run / "run.json").read_text())["resumed"][-1]["from"] == KILLED
    assert result.metrics == straight.metrics
    assert rows == straight.rows
    assert set(networks) == set(straight.networks)
    for network, again in networks.items():
        weights = zip(again.get_weights(), straight.networks[network].get_weights(), strict=True)
        assert all(a.tobytes() == b.tobytes() for a, b in weights)


def step_checked():
    """A few experiments whose steps are cheap to test; all in `make soak`."""
    few = ("guide/weighted", "layer_local/forward_forward", "metric_learning/triplet")
    return TRAINED if os.environ.get("FITX_SOAK") else few


@pytest.mark.parametrize("name", step_checked())
def test_the_step_passes_its_own_test(name, tmp_path):
    experiment = ready(name, tmp_path, "data.batch_size=16")
    request = StepTestRequest(experiment, [], [], skipped=("devices", "resume"))

    assert not step_tests.test_step(request).failed


def test_networks_load_where_fitx_is_not_and_predict_the_same(outcome_of):
    files = [str(file) for found in map(outcome_of, NAMES) for file in found.files.values()]
    for file in files:
        network = keras.saving.load_model(file, compile=False)
        x = inputs(network)
        answer = network.predict(x[0] if len(x) == 1 else x, verbose=0)
        np.savez(f"{file}.npz", *x, answer=answer)

    words = [sys.executable, "-c", LOAD, *files]
    loaded = subprocess.run(
        words, capture_output=True, text=True, check=True, cwd=Path(files[0]).parent
    )

    assert loaded.stdout.split() == ["True"] * len(files)
