"""Plugins that import modules of their own folder: found, recorded and judged as plugins are."""

import pytest

from fitx.commands.evaluate import EvaluationRequest, evaluate
from fitx.errors import StorageError
from fitx.experiment.check import read
from fitx.experiment.problems import ConfigError
from fitx.rundir.saved_experiment import read_unimported
from fitx.training.resumption.auto_resume import changed_plugin

FILES = {
    "classes.py": "from nets import make_net\nfrom .losses import absolute\n\n\n"
    "def unused():\n    return make_net, absolute\n",
    "nets.py": "import keras\nimport sizes\n\n\ndef make_net(input_shape):\n"
    "    layer = keras.layers.Dense(sizes.OUTPUTS)\n"
    "    return keras.Sequential([keras.Input(input_shape), layer])\n",
    "sizes.py": "OUTPUTS = 1\n",
    "losses.py": "import keras\n\n\ndef absolute(y_true, y_pred):\n"
    "    return keras.ops.mean(keras.ops.abs(y_true - y_pred), axis=-1)\n",
    "digits.py": "raise RuntimeError('nobody imports this')\n",
    "mine.yaml": "plugins: [classes.py]\nstep: supervised\nmodel: make_net\noptimizer: adam\n"
    "loss: absolute\ndata: {name: random, rows: 16, features: 3, batch_size: 8}\n",
}


@pytest.fixture
def file(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path / "mine.yaml"


@pytest.fixture
def run(file, trained):
    run, result = trained(read(str(file)))
    assert not isinstance(result, Exception), result
    return run


def test_all_modules_that_a_plugin_imports_are_recorded_with_their_hashes(run):
    names = [f"source/{name}.py" for name in ("classes", "nets", "sizes", "losses")]

    assert sorted(run.record["plugins"]) == sorted(names)
    assert sorted(p.name for p in (run.folder / "source").glob("*.py")) == sorted(
        name.removeprefix("source/") for name in names
    )


def test_a_run_is_evaluated_with_the_modules_in_its_folder(run, file, recording):
    for name in ("classes", "nets", "sizes", "losses"):
        (file.parent / f"{name}.py").unlink()

    result = evaluate(read_unimported(run.folder), EvaluationRequest(run=run.folder), recording())

    assert result.metrics


def test_a_run_whose_module_has_changed_is_not_imported(run):
    (run.folder / "source/sizes.py").write_text("OUTPUTS = 2\n")

    with pytest.raises(StorageError, match="sizes.py has changed since the run was trained"):
        read_unimported(run.folder)


def test_a_module_that_was_added_to_a_run_is_not_imported(run):
    (run.folder / "source/keras.py").write_text("raise SystemExit\n")

    with pytest.raises(StorageError, match="keras.py: the run was not trained with this plugin"):
        read_unimported(run.folder)


def test_a_changed_module_is_another_experiment(run, file):
    (file.parent / "losses.py").write_text(FILES["losses.py"] + "# changed\n")

    assert changed_plugin(run.record["plugins"], read(str(file))) == "losses.py"


def test_a_module_with_the_name_of_a_loaded_one_is_refused(file):
    (file.parent / "numpy.py").write_text("ONE = 1\n")
    (file.parent / "sizes.py").write_text("import numpy\nOUTPUTS = 1\n")

    with pytest.raises(ConfigError, match=r"another module is called 'numpy'; rename the file"):
        read(str(file))


def test_the_same_module_serves_one_experiment_after_another(file):
    read(str(file))
    (file.parent / "sizes.py").write_text("OUTPUTS = undefined\n")

    with pytest.raises(ConfigError, match="importing sizes.py failed: NameError"):
        read(str(file))
