import hashlib
import json

import pytest

from fitx.errors import StorageError, UsageError
from fitx.experiment import plugin_import
from fitx.experiment.dump import dump
from fitx.experiment.problems import ConfigError
from fitx.rundir import folder, record
from fitx.rundir.saved_experiment import read_target, read_unimported

EXPERIMENT = """
name: mine
step: supervised
model: linear
optimizer: adam
loss: mse
data: {name: random, rows: 64, features: 4}
"""
PLUGIN = """
from pathlib import Path
from fitx import models
Path(__file__).with_name("imported").touch()

@models.register
def plugin(input_shape, outputs):
    '''Never called here.'''
"""


@pytest.fixture
def run(tmp_path, monkeypatch, whole_record):
    """Leave a run's folder as training does, under a working directory of its own."""
    monkeypatch.chdir(tmp_path)

    def run(name="mine", plugin=None):
        made = folder.create_run(tmp_path / "runs", name)
        plugins = {}
        text = EXPERIMENT
        if plugin is not None:
            (made / "source/plugin.py").write_text(plugin)
            plugins = {"source/plugin.py": hashlib.sha256(plugin.encode()).hexdigest()}
            text = f"plugins: [source/plugin.py]\n{EXPERIMENT}"
        (made / "experiment.yaml").write_text(text)
        record.start(made, whole_record(plugins=plugins)).update(status="finished")
        return made

    return run


@pytest.mark.parametrize("target", ["mine", "mine/latest", "runs/mine/latest", "{run}"])
def test_a_run_is_found_by_name_link_and_folder(run, tmp_path, target):
    made = run()
    found = read_target(target.format(run=made), (), tmp_path / "runs")
    assert found.run.resolve() == made.resolve()
    assert found.experiment.name == "mine"
    assert found.note == ""


def test_an_experiment_is_found_by_file_and_shipped_name(run, tmp_path):
    (tmp_path / "mine.yaml").write_text(EXPERIMENT)
    found = read_target("mine.yaml", ["fit.epochs=7"], tmp_path / "runs")
    assert (found.run, found.experiment.fit.epochs) == (None, 7)
    assert read_target("guide/simple", (), tmp_path / "runs").experiment.name == "simple"


def test_a_name_of_both_is_the_run_and_that_is_told(run, tmp_path):
    made = run("digits")
    found = read_target("digits", (), tmp_path / "runs")
    assert found.run.resolve() == made.resolve()
    assert found.note.startswith("'digits' is a run and an experiment too; the run is evaluated. ")


def test_what_is_neither_is_told_with_the_nearest(run, tmp_path):
    run()
    with pytest.raises(UsageError) as error:
        read_target("mime", (), tmp_path / "runs")
    assert str(error.value) == (
        f"no run is called 'mime': there is no mime/run.json or {tmp_path}/runs/mime/run.json. "
        "Did you mean 'mine'?\n"
        "Nor is there an experiment: mime: there is no such file. Did you mean 'simple'?"
    )


def test_words_change_the_experiment_of_a_run(run):
    assert read_unimported(run(), ["data.rows=32"]).data.options["rows"] == 32


def test_words_may_say_model_and_optimizer_though_a_run_names_its_networks(run):
    made = run()
    (made / "experiment.yaml").write_text(dump(read_unimported(made)))
    words = ["optimizer.learning_rate=0.5", "model={name: mlp, units: [2]}", "model.units+=3"]
    experiment = read_unimported(made, words)
    assert experiment.optimizers["model"].options["learning_rate"] == 0.5
    assert experiment.networks["model"].options["units"] == [2, 3]
    assert read_unimported(made, ["~optimizer"]).optimizers == {}


def test_a_run_without_its_experiment_is_refused(run):
    made = run()
    (made / "experiment.yaml").unlink()
    with pytest.raises(StorageError) as error:
        read_unimported(made)
    assert str(error.value) == f"{made}/experiment.yaml is missing; the run cannot be rebuilt."


def test_a_run_with_a_damaged_record_is_refused(run):
    made = run()
    (made / "run.json").write_text('{"status": "fin')
    with pytest.raises(StorageError) as error:
        read_unimported(made)
    assert str(error.value).startswith(f"{made}/run.json is damaged: ")


def test_a_plugin_that_is_what_was_trained_is_imported(run):
    made = run(plugin=PLUGIN)
    experiment = read_unimported(made)
    assert not (made / "source/imported").exists()
    plugin_import.load(experiment)
    assert (made / "source/imported").exists()


def test_a_plugin_that_has_changed_is_not_imported(run):
    made = run(plugin=PLUGIN)
    with (made / "source/plugin.py").open("a") as file:
        file.write("# changed\n")
    with pytest.raises(StorageError) as error:
        read_unimported(made)
    assert not (made / "source/imported").exists()
    assert str(error.value) == (
        f"{made}/source/plugin.py has changed since the run was trained; not imported. "
        "Restore the file."
    )


@pytest.mark.parametrize("word", ["plugins+=other.py", "plugins=[../../../other.py]"])
def test_a_plugin_that_the_run_was_not_trained_with_is_not_imported(run, tmp_path, word):
    made = run(plugin=PLUGIN)
    for place in (tmp_path / "other.py", made / "other.py"):
        place.write_text(PLUGIN)
    with pytest.raises(StorageError) as error:
        read_unimported(made, [word])
    assert "other.py: the run was not trained with this plugin; not imported." in str(error.value)
    assert not list(tmp_path.rglob("imported"))


def test_a_plugin_outside_the_run_is_not_imported_even_if_the_record_names_it(run, tmp_path):
    made = run()
    other = tmp_path / "other.py"
    other.write_text(PLUGIN)
    (made / "experiment.yaml").write_text(f"plugins: [../../../other.py]\n{EXPERIMENT}")
    facts = json.loads((made / "run.json").read_text())
    sha256 = hashlib.sha256(PLUGIN.encode()).hexdigest()
    facts["plugins"] = {"../../../other.py": sha256, str(other): sha256}
    (made / "run.json").write_text(json.dumps(facts))
    with pytest.raises(StorageError):
        read_unimported(made)
    assert not (tmp_path / "imported").exists()


def test_problems_of_the_experiment_are_told_as_for_any_file(run):
    with pytest.raises(ConfigError) as error:
        read_unimported(run(), ["fit.epoch=3"])
    assert "command line: fit.epoch=3" in str(error.value)
