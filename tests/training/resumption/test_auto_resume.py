import re
import sys

import pytest

from fitx.errors import BusyError
from fitx.experiment import plugins
from fitx.experiment.check import read
from fitx.experiment.dump import dump
from fitx.rundir import lock, record
from fitx.training.resumption.auto_resume import newest_resumable
from fitx.training.resumption.env_seals import seal

EXPERIMENT = """
name: mine
step: supervised
model: linear
optimizer: {name: adam, learning_rate: 0.01}
loss: mse
data: {name: random, rows: 64, features: 4}
fit: {epochs: 3}
"""
PLUGIN = """
from fitx import models

@models.register
def plugin(input_shape, outputs):
    '''Never called here.'''
"""


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def experiment(tmp_path):
    """Read the experiment, changed by words, with a plugin or without."""

    def experiment(*words, plugin=None):
        text = EXPERIMENT
        if plugin is not None:
            (tmp_path / "plugin.py").write_text(plugin)
            text = f"plugins: [plugin.py]\n{EXPERIMENT}"
        (tmp_path / "mine.yaml").write_text(text)
        return read("mine.yaml", words)

    return experiment


@pytest.fixture
def run(tmp_path, whole_record):
    """Leave the run of an experiment, begun on a day of November, as a process that is gone did."""

    def run(day, experiment, status="interrupted"):
        folder = tmp_path / "runs" / experiment.name / f"202611{day:02}-120000-abcd"
        (folder / "source").mkdir(parents=True)
        hashes = {}
        for path in experiment.plugins:
            (folder / "source" / path.name).write_bytes(path.read_bytes())
            hashes[f"source/{path.name}"] = plugins.sha256(path)
        (folder / "experiment.yaml").write_text(dump(experiment, plugins=list(hashes)))
        started = record.start(folder, whole_record(plugins=hashes, references=seal(experiment)))
        if status != "running":
            started.update(status=status)
        return folder

    return run


@pytest.fixture
def select_run(tmp_path):
    return lambda experiment, **options: newest_resumable(experiment, tmp_path / "runs", **options)


def test_without_any_run_a_new_one_begins(experiment, select_run):
    choice = select_run(experiment())
    assert (choice.run, choice.notes) == (None, ())


@pytest.mark.parametrize("status", ["interrupted", "failed", "running"])
def test_an_unfinished_run_of_the_same_experiment_goes_on(experiment, run, select_run, status):
    folder = run(1, experiment(), status)
    assert select_run(experiment()).run == folder


@pytest.mark.parametrize("status", ["finished", "diverged"])
def test_a_run_that_is_over_does_not(experiment, run, select_run, status):
    run(1, experiment(), status)
    choice = select_run(experiment())
    assert (choice.run, choice.notes) == (None, ())


def test_of_several_the_newest_goes_on(experiment, run, select_run):
    run(1, experiment())
    newest = run(2, experiment())
    run(3, experiment(), "finished")
    assert select_run(experiment()).run == newest


def test_a_run_of_another_name_is_none_of_this_experiment(experiment, run, select_run):
    run(1, experiment("name=other"))
    assert select_run(experiment()).run is None


def test_harmless_changes_are_taken_along(experiment, run, select_run):
    folder = run(1, experiment())
    choice = select_run(experiment("fit.epochs=5"))
    assert choice.run == folder


def test_a_run_of_other_settings_is_skipped_with_the_reason(experiment, run, select_run):
    older = run(1, experiment())
    run(2, experiment("seed=7"))
    run(3, experiment("data.batch_size=8", "seed=7", "fit.epochs=5"), "running")
    choice = select_run(experiment())
    assert choice.run == older
    assert choice.notes == (
        "skipped runs/mine/20261103-120000-abcd (killed): seed: 7 -> 0 and 1 more",
        "skipped runs/mine/20261102-120000-abcd (interrupted): seed: 7 -> 0",
    )


def test_of_many_runs_that_are_skipped_the_newest_are_named(experiment, run, select_run):
    for day in range(1, 9):
        run(day, experiment(f"seed={day}"))
    notes = select_run(experiment()).notes
    assert [re.search(r"seed: (\d)", note)[1] for note in notes[:-1]] == ["8", "7", "6", "5"]
    assert notes[-1] == "skipped 4 more"


def test_a_run_of_other_settings_will_do_if_that_is_allowed(experiment, run, select_run):
    other = run(2, experiment("model={name: mlp, units: [2]}"))
    folder = run(1, experiment("seed=7"))
    choice = select_run(experiment(), allow_inexact=True)
    assert choice.run == folder
    assert choice.notes == (
        f"skipped runs/mine/{other.name} (interrupted): networks.model.name: mlp -> linear",
    )


def test_a_run_that_another_value_of_a_variable_began_is_skipped(
    experiment, run, select_run, monkeypatch
):
    word = "data.batch_size=${env:BATCH:64}"
    monkeypatch.setenv("BATCH", "32")
    folder = run(1, experiment(word))
    assert select_run(experiment(word)).run == folder
    monkeypatch.delenv("BATCH")
    assert select_run(experiment(word)).notes == (
        f"skipped runs/mine/{folder.name} (interrupted): "
        "data.batch_size: ${env:BATCH:64} now has another value",
    )


def test_data_that_lies_elsewhere_may_be_other_data(experiment, run, select_run):
    run(1, experiment("data={name: npz, path: a.npz}"))
    choice = select_run(experiment("data={name: npz, path: b.npz}"))
    assert choice.run is None
    assert "(interrupted): data.path: " in choice.notes[0]


def test_a_run_that_is_being_trained_is_in_use(experiment, run, select_run):
    folder = run(1, experiment(), "running")
    with lock.hold(folder), pytest.raises(BusyError) as error:
        select_run(experiment())
    assert f"{folder} is in use by process " in str(error.value)


def test_a_run_of_other_settings_that_is_being_trained_is_in_nobodys_way(
    experiment, run, select_run
):
    folder = run(1, experiment("seed=7"), "running")
    with lock.hold(folder):
        choice = select_run(experiment())
    assert choice.run is None
    assert choice.notes == (f"skipped runs/mine/{folder.name} (running): seed: 7 -> 0",)


def test_a_run_with_the_same_plugin_goes_on_and_its_copy_is_not_imported(
    experiment, run, select_run
):
    folder = run(1, experiment(plugin=PLUGIN))
    asked = experiment(plugin=PLUGIN)
    imported = sys.modules["fitx_plugins.plugin"]
    assert select_run(asked).run == folder
    assert sys.modules["fitx_plugins.plugin"] is imported


def test_a_run_with_another_plugin_is_skipped(experiment, run, select_run):
    run(1, experiment(plugin=PLUGIN))
    told = "skipped runs/mine/20261101-120000-abcd (interrupted): "
    told += "the plugin plugin.py has changed"
    assert select_run(experiment(plugin=f"{PLUGIN}# changed\n")).notes == (told,)
    assert select_run(experiment()).notes == (told,)


def test_damaged_runs_are_skipped(experiment, run, select_run):
    run(1, experiment())
    missing, broken, linked = (run(day, experiment()) for day in (2, 3, 4))
    unread = run(6, experiment())
    (unread / "run.json").write_text('{"status": "failed", "status": "running"}')
    (missing / "experiment.yaml").unlink()
    (broken / "experiment.yaml").write_text("step: [")
    (linked / "checkpoints").symlink_to("/")
    choice = select_run(experiment())
    assert choice.run.name == "20261101-120000-abcd"
    reasons = [note.partition("): ")[2] for note in choice.notes]
    assert reasons == [
        f"{unread}/run.json is damaged: it has the key 'status' twice in one object",
        f"{linked}/checkpoints is a link to a place outside of the run; remove it.",
        f"{broken}/experiment.yaml:1:8: not YAML: did not find expected node content "
        "while parsing a flow node; the text ends within [ ] or { }.",
        f"{missing}/experiment.yaml is missing; the run cannot be rebuilt.",
    ]
