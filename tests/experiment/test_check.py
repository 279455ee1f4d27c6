"""Checks documents: names, paths, defaults and plugins of the resulting experiment."""

import sys
from pathlib import Path

import pytest

from fitx.errors import UsageError
from fitx.experiment import plugins
from fitx.experiment.check import check, read, use_step
from fitx.experiment.checks.monitored_values import logged, monitored, not_logged
from fitx.experiment.dump import dump
from fitx.experiment.experiment import path_as_written
from fitx.experiment.problems import ConfigError
from fitx.experiment.schema import Checkpoint, parse_expectation
from fitx.experiment.yaml.load import load
from fitx.experiment.yaml.locate import shipped
from fitx.registry.kinds import KERAS_KINDS, Part
from fitx.registry.part_index import PartIndex
from fitx.registry.registries import REGISTRIES
from fitx.registry.signature import NO_DEFAULT

MINE = """
step: supervised
model: mlp
optimizer: adam
loss: mse
data: random
"""


@pytest.fixture
def experiment(write):
    """Check an experiment made of MINE and further lines."""

    def checked(*lines, words=(), name="mine.yaml"):
        return read(str(write(name, MINE + "\n".join(lines))), words)

    return checked


def test_one_network_goes_by_the_step_s_name_for_it(experiment):
    made = experiment()
    assert made.networks == {"model": Part("model", "mlp")}
    assert made.optimizers == {"model": Part("optimizer", "adam")}
    assert path_as_written(made.document, ("networks", "model", "units")) == ("model", "units")
    assert path_as_written(made.document, ("networks",)) == ("networks",)
    assert (
        str(made.error(("networks", "model"), "is odd."))
        .splitlines()[0]
        .endswith("mine.yaml:3:1: model: is odd.")
    )


def test_a_step_s_network_of_another_name_is_meant_by_model(write):
    write(
        "mine.py",
        "from fitx import Step, steps\n\n@steps.register\nclass Mine(Step):\n"
        "    def __init__(self, net, *, seed: int): ...\n"
        "    def train_step(self, data): return {'a': 1}\n"
        "    def test_step(self, data): return {'a': 1}\n",
    )
    text = "plugins: [mine.py]\nstep: mine\nmodel: mlp\noptimizer: adam\ndata: random\n"
    file = write("mine.yaml", text)
    assert list(read(str(file)).networks) == ["net"]
    assert list(read(str(file)).optimizers) == ["net"]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("my exp.yaml", "my-exp"),
        ("größe.yaml", "gr-e"),
        ("_.yaml", "experiment"),
        ("a.b.yaml", "a.b"),
    ],
)
def test_a_run_is_called_like_the_file(experiment, file, name):
    made = experiment(name=file)
    assert made.name == name
    assert dump(made).startswith(f"version: 1\nname: {name}\n")


def test_paths_start_at_the_file_that_holds_them(write, monkeypatch, tmp_path):
    write("shared/base.yaml", MINE.replace("data: random", "data: {name: npz, path: x.npz}"))
    file = write("mine.yaml", "extends: shared/base.yaml\n")
    assert read(str(file)).data.options["path"] == tmp_path / "shared/x.npz"
    monkeypatch.chdir(tmp_path / "shared")
    made = read(str(file), ["data.path=y.npz"])
    assert made.data.options["path"] == tmp_path / "shared/y.npz"
    assert read(str(file), ["data.path=~/z.npz"]).data.options["path"] == Path.home() / "z.npz"
    assert read(str(file), ["data.path=/z.npz"]).data.options["path"] == Path("/z.npz")


def test_defaults_are_filled_in(experiment):
    values = experiment().as_mapping()
    assert values["networks"]["model"] == {
        "name": "mlp",
        "units": [64, 64],
        "activation": "relu",
        "dropout": 0.0,
    }
    assert values["data"] == {
        "name": "random",
        "rows": 1000,
        "features": 32,
        "targets": 1,
        "sample_weight": False,
        "batch_size": 32,
        "shuffle": True,
        "validation_split": 0.0,
        "class_weight": None,
        "labels": True,
        "join": False,
        "drop_remainder": False,
    }
    assert values["seed"] == 0
    assert values["loss"]["reduction"] == "sum_over_batch_size"


@pytest.mark.parametrize("name", sorted(shipped()))
def test_a_shipped_experiment_checks_dumps_and_reads_back(name, write):
    made = read(name)
    again = read(str(write("elsewhere/again.yaml", dump(made))))
    assert again.as_mapping() == made.as_mapping()
    assert dump(again) == dump(made)


def required(signature):
    return [p.name for p in signature.parameters if p.required]


@pytest.mark.parametrize("kind", ["optimizer", "loss", "metric", "schedule", "callback"])
def test_every_part_of_keras_that_needs_nothing_dumps_and_reads_back(kind, experiment, write):
    part_index = PartIndex()
    given = {"schedule": {"initial_learning_rate": 0.1, "decay_steps": "total", "decay_rate": 0.5}}
    for name in part_index.spellings(kind):
        signature = part_index.signature(kind, name)
        options = {k: v for k, v in given.get(kind, {}).items() if k in required(signature)}
        if name in REGISTRIES.get("callback").files() or set(required(signature)) - options.keys():
            continue
        part = f"{{name: {name}, {str(options)[1:-1]}}}".replace("'", "")
        word = {
            "optimizer": f"optimizer={part}",
            "loss": f"loss={part}",
            "metric": f"metrics=[{part}]",
            "schedule": f"optimizer={{name: sgd, learning_rate: {part}}}",
            "callback": f"callbacks=[{part}]",
        }[kind]
        made = experiment(words=[word])
        again = read(str(write("again.yaml", dump(made))))
        assert again.as_mapping() == made.as_mapping(), name


def test_every_layer_activation_and_the_like_is_taken(experiment):
    part_index = PartIndex()
    for kind in ("activation", "initializer", "regularizer", "constraint"):
        key = "activation" if kind == "activation" else f"kernel_{kind}"
        for name in part_index.spellings(kind):
            if kind == "activation" or not required(part_index.signature(kind, name)):
                layer = f"{{name: dense, units: 3, {key}: {name}}}"
                experiment(words=[f"model={{name: sequential, layers: [{layer}]}}"])
    for name in part_index.names("layer"):
        if not required(part_index.signature("layer", name)):
            experiment(words=[f"model={{name: sequential, layers: [{name}]}}"])


def test_strings_that_look_like_something_else_read_back(experiment, write):
    for name in ("1e-3", "2024", "true", "0o7", "2024-01-01", "9" * 90, "null"):
        made = experiment(f'name: "{name}"')
        assert read(str(write("again.yaml", dump(made)))).name == name
    long = "9" * 400
    made = experiment(words=[f'data={{name: npz, path: "{long}"}}'])
    assert read(str(write("again.yaml", dump(made)))).as_mapping() == made.as_mapping()


def test_a_plugin_s_defaults_and_tuples_read_back(write):
    write(
        "mine.py",
        "from typing import Literal\nfrom fitx import datasets\n\n@datasets.register\n"
        "def load(*, shape: tuple[int, int] = (8, 8), names: set[str] = None, rows: int = 1,\n"
        "         weights: dict[int, float] = {0: 1.5}, how: Literal['a', 'b'] = 'a',\n"
        "         bound: float = 1e999, other=b'x', long: str = '9' * 400):\n    ...\n".replace(
            "'9' * 400", f"'{'9' * 400}'"
        ),
    )
    text = MINE.replace("data: random", "data: {name: mine, names: [b, a]}")
    made = read(str(write("mine.yaml", "plugins: [mine.py]\n" + text)))
    assert made.data.options["names"] == {"a", "b"}
    values = made.as_mapping()["data"]
    assert values["shape"] == [8, 8]
    assert values["weights"] == {0: 1.5}
    assert not {"bound", "other"} & values.keys()
    again = read(str(write("again.yaml", dump(made))))
    assert again.as_mapping()["data"]["weights"] == {0: 1.5}
    assert dump(made, plugins=["source/mine.py"]).count("plugins:\n- source/mine.py\n") == 1


def test_a_plugin_is_imported_once_all_else_is_right_and_leaves_no_file(write, tmp_path):
    write(
        "counting.py",
        "import sys\nfrom fitx import datasets\n\nsys.modules['fitx'].counted = "
        "getattr(sys.modules['fitx'], 'counted', 0) + 1\n\n@datasets.register\n"
        "def counting(*, rows: int = 3): ...\n",
    )
    text = "plugins: [counting.py]\n" + MINE.replace("data: random", "data: counting")
    file = str(write("mine.yaml", text))
    import fitx

    fitx.counted = 0
    with pytest.raises(ConfigError):
        read(file, ["seed=-1"])
    assert fitx.counted == 0
    made = read(file)
    assert fitx.counted == 1
    assert REGISTRIES["dataset"].get("counting").__module__ == "fitx_plugins.counting"
    assert "fitx_plugins.counting" in sys.modules
    assert not (tmp_path / "__pycache__").exists()
    assert plugins.sha256(made.plugins[0]) == plugins.sha256(tmp_path / "counting.py")
    # What stands in the file now counts, however short ago it was changed.
    write("counting.py", (tmp_path / "counting.py").read_text().replace("3", "4"))
    assert read(file).as_mapping()["data"]["rows"] == 4
    del fitx.counted


def test_a_plugin_may_be_given_on_the_command_line(write, monkeypatch, tmp_path):
    write("mine.yaml", MINE)
    write("sub/rows.py", "from fitx import datasets\n\n@datasets.register\ndef rows(): ...\n")
    monkeypatch.chdir(tmp_path / "sub")
    made = read("../mine.yaml", ["plugins=[rows.py]", "data=rows"])
    assert made.plugins == (tmp_path / "sub/rows.py",)


def test_a_keyboard_interrupt_of_a_plugin_is_reported_like_any_error(write):
    write(
        "rows.py",
        "from fitx import datasets\n\n@datasets.register\ndef rows(): ...\n\n"
        "raise KeyboardInterrupt\n",
    )
    text = "plugins: [rows.py]\n" + MINE.replace("data: random", "data: rows")
    with pytest.raises(ConfigError, match=r"importing rows.py failed: KeyboardInterrupt"):
        read(str(write("mine.yaml", text)))


def test_frames_are_the_user_s_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("def f():\n    return 1 / 0\n")
    code = compile((tmp_path / "mine.py").read_text(), str(tmp_path / "mine.py"), "exec")
    names = {}
    exec(code, names)  # noqa: S102 - the frames of a real file are what is tested.
    with pytest.raises(ZeroDivisionError) as caught:
        names["f"]()
    own = plugins.frames(caught.value, tmp_path / "mine.py")
    assert own == '  File "mine.py", line 2, in f\n    return 1 / 0'
    monkeypatch.chdir("/")
    assert f'File "{str(tmp_path)[1:]}/mine.py"' in plugins.frames(
        caught.value, tmp_path / "mine.py"
    )
    assert plugins.frames(caught.value) == ""


def test_a_plugin_is_added_to_a_catalogue_by_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.py").write_text(
        "from fitx import datasets\n\n@datasets.register\ndef rows(): ...\n"
    )
    part_index = PartIndex()
    assert plugins.add("rows.py", part_index) == tmp_path / "rows.py"
    with pytest.raises(UsageError, match=r"^rwos.py: there is no such file. Did you mean 'rows.py"):
        plugins.add("rwos.py", part_index)


def test_what_is_logged_is_the_step_s_own_and_the_metrics(experiment):
    made = experiment(
        "metrics: [mae, {name: root_mean_squared_error}]\nweighted_metrics: [mae, mse]"
    )
    names = {"loss", "mae", "root_mean_squared_error", "weighted_mae", "mse"}
    assert logged(made, made.step_facts) == names


def test_a_monitored_name_that_only_a_run_can_tell_is_left_to_it(write):
    write(
        "mine.py",
        "from fitx import Step, steps\n\n@steps.register\nclass Mine(Step):\n"
        "    def train_step(self, data): return {'a_loss': 1}\n"
        "    def test_step(self, data): return self.other(data)\n",
    )
    head = "plugins: [mine.py]\nstep: mine\nmodel: mlp\noptimizer: adam\ndata: random\n"
    file = str(write("mine.yaml", head))
    made = read(file, ["checkpoint.monitor=whatever_loss", "expect.test_whatever='< 1'"])
    assert made.step_facts is None
    with pytest.raises(ConfigError, match="whether less or more of 'whatever' is better"):
        read(file, ["checkpoint.monitor=whatever"])


def test_what_a_callback_watches():
    part_index = PartIndex()
    assert monitored(Part("callback", "early_stopping"), part_index) == ("val_loss", None)
    options = {"monitor": "loss", "mode": "max"}
    assert monitored(Part("callback", "early_stopping", options), part_index) == ("loss", "max")
    assert monitored(Part("callback", "csv_logger"), part_index) == (None, None)
    assert not_logged("a", []) == "'a' is not logged; nothing is logged."


def test_another_step_measures_on_the_same_networks(experiment):
    made = experiment("metrics: [mae]")
    other = use_step(made, "low_level")
    assert (other.step, other.loss, other.metrics) == (Part("step", "low_level"), None, [])
    back = use_step(made, "supervised")
    assert (back.loss, back.metrics) == (made.loss, made.metrics)
    for name, said in {
        "low_levle": "no step is called 'low_levle'. Did you mean 'low_level'?",
        "gan": "step 'gan' needs the network 'discriminator'; this experiment has model.",
    }.items():
        with pytest.raises(UsageError) as caught:
            use_step(made, name)
        assert str(caught.value) == said
    with pytest.raises(
        UsageError, match="step 'supervised' needs a loss; add for example loss=mse"
    ):
        use_step(other, "supervised")


def test_a_step_that_needs_a_setting_cannot_measure(write):
    write(
        "strong.py",
        "from fitx import Step, steps\n\n@steps.register\nclass Strong(Step):\n"
        "    def __init__(self, model, *, strength: float): ...\n"
        "    def train_step(self, data): return {'a': 1}\n"
        "    def test_step(self, data): return {'a': 1}\n",
    )
    made = read(str(write("mine.yaml", "plugins: [strong.py]\n" + MINE)))
    with pytest.raises(UsageError, match="needs 'strength'; set it with step=... instead"):
        use_step(made, "strong")


def test_comparisons_are_split():
    assert parse_expectation(">= 0.95") == (">=", 0.95)
    assert parse_expectation(" < -1e-3 ") == ("<", -1e-3)


@pytest.mark.parametrize(
    "every", ["auto", "epoch", "1 step", "500 steps", "10 minutes", "1 minute"]
)
def test_cadences_are_taken(every):
    assert Checkpoint(every=every).every == every


def test_a_document_can_be_checked_apart_from_its_reading():
    assert check(load("guide/simple")).name == "simple"


def test_kinds_of_keras_have_no_registry():
    assert not set(KERAS_KINDS) & REGISTRIES.keys()
    assert NO_DEFAULT is not None
