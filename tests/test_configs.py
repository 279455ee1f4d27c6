"""Every shipped experiment is found by itself and held to the same promises."""

import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest

from fitx.cli.display import NoDisplay
from fitx.commands.evaluate import EvaluationRequest, evaluate
from fitx.commands.resume import resume
from fitx.commands.train import train
from fitx.errors import Interrupted
from fitx.experiment.after import network_sources
from fitx.experiment.check import read
from fitx.experiment.checks.monitored_values import logged
from fitx.experiment.yaml.locate import shipped
from fitx.registry.kinds import SHARED_OPTIMIZER
from fitx.rundir.source_runs import with_source_runs
from fitx.training.resumption.resume_request import open_for_resume
from fitx.training.train_request import TrainRequest

NAMES = sorted(
    {path: name for name, path in sorted(shipped().items(), key=lambda i: len(i[0]))}.values()
)
"""By their folder too: `guide/gan`."""

TRAINED = [name for name in NAMES if read(name).optimizers]

FEW = "fit.epochs=3", "fit.steps_per_epoch=6", "data.batch_size=16"
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
    """What a few steps of one experiment came to."""

    metrics: dict
    rows: list
    before: dict
    after: dict
    files: dict


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Train every experiment for a few steps, or evaluate it if it has no optimizer."""
    return {name: outcome(name, tmp_path_factory.mktemp("runs")) for name in NAMES}


def outcome(name, out):
    if name not in TRAINED:
        return Outcome(
            evaluate(ready(name, out), EvaluationRequest(), NoDisplay()).metrics, [], {}, {}, {}
        )
    _, before, _ = trained(name, out / "untrained", "fit.epochs=0")
    result, after, folder = trained(name, out / "trained")
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    files = {network: folder / "networks" / f"{network}.keras" for network in after}
    return Outcome(result.metrics, [json.loads(line) for line in lines], before, after, files)


def ready(name, out, *words):
    """Read an experiment; train the shipped experiments whose runs it starts from for an epoch."""
    experiment = read(name, words)
    runs = {source.run for source in network_sources(experiment.after)}
    for other in (other for other in NAMES if runs & {read(other).name}):
        first = ready(other, out / "earlier", *FEW, "fit.epochs=1")
        train(first, TrainRequest(out / "earlier"), NoDisplay())
    return with_source_runs(experiment, out / "earlier")


def trained(name, out, *words):
    """Train, and return the result, the networks as they were written, and the run's folder."""
    runs = out / "runs"
    result = train(ready(name, out, *FEW, *words), TrainRequest(runs), NoDisplay())
    (folder,) = (path for path in runs.glob("*/*") if path.is_dir() and not path.is_symlink())
    files = folder.glob("networks/*.keras")
    networks = {file.stem: keras.saving.load_model(file, compile=False) for file in files}
    return result, networks, folder


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
def test_what_is_logged_is_what_the_source_of_the_step_declares(name, outcomes):
    experiment, found = read(name), outcomes[name].metrics
    declared = logged(experiment, experiment.step_facts)
    plain = {key for key in found if not key.startswith(("val_", "test_"))}
    measured = {key.split("_", 1)[1] for key in found if key.startswith(("val_", "test_"))}

    assert plain == declared
    assert measured in (set(), declared)


@pytest.mark.parametrize("name", TRAINED)
def test_the_first_loss_falls_within_a_few_steps(name, outcomes):
    rows = outcomes[name].rows
    loss = next(key for key in rows[0] if key.endswith("loss"))

    assert [row["step"] for row in rows] == [6, 12, 18]
    assert rows[-1][loss] < rows[0][loss]


@pytest.mark.parametrize("name", TRAINED)
def test_every_trained_variable_moves_and_nothing_of_a_frozen_network(name, outcomes):
    experiment, found = read(name), outcomes[name]

    assert set(found.before) == set(found.after) == set(experiment.networks)
    for network, before in found.before.items():
        trained = bool({network, SHARED_OPTIMIZER} & experiment.optimizers.keys())
        kind = "trainable_weights" if trained else "weights"
        if network in experiment.copies or not before.weights:
            # The step changes a copy, as a moving average for example. Some have no weights, as
            # networks of random layers.
            continue
        pairs = zip(getattr(before, kind), getattr(found.after[network], kind), strict=True)
        assert {not np.array_equal(b, a) for b, a in pairs} == {trained}


@pytest.mark.parametrize("name", TRAINED)
def test_a_run_that_is_stopped_and_resumed_ends_as_if_it_had_not(name, outcomes, tmp_path):
    experiment, runs = ready(name, tmp_path, *FEW), tmp_path / "runs"
    with pytest.raises(Interrupted):
        train(experiment, TrainRequest(runs, stop_after=8), NoDisplay())
    (latest,) = runs.glob("*/latest")
    with open_for_resume(latest.resolve(), (), allow_inexact=False) as request:
        result = resume(request, NoDisplay())
    lines = (latest / "metrics.jsonl").read_text().splitlines()
    rows = [{**json.loads(line), "seconds": 0} for line in lines]

    assert result.metrics == outcomes[name].metrics
    assert rows == [{**row, "seconds": 0} for row in outcomes[name].rows]
    for network, straight in outcomes[name].after.items():
        file = latest / "networks" / f"{network}.keras"
        again = keras.saving.load_model(file, compile=False).get_weights()
        assert [w.tobytes() for w in again] == [w.tobytes() for w in straight.get_weights()]


def test_networks_load_where_fitx_is_not_and_predict_the_same(outcomes):
    files = [str(file) for found in outcomes.values() for file in found.files.values()]
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
