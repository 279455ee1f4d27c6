"""Loading: files, `extends`, overrides and `${env:...}`."""

import pytest

from fitx.experiment.check import read
from fitx.experiment.dump import dump
from fitx.experiment.problems import ConfigError
from fitx.experiment.yaml import overrides
from fitx.experiment.yaml.load import load, merge
from fitx.experiment.yaml.locate import beside_shipped, locate, shipped
from fitx.experiment.yaml.reader import read as read_yaml
from fitx.experiment.yaml.tree import TextSource
from fitx.registry.registries import REGISTRIES

MINE = """
step: supervised
model: mlp
optimizer: {name: adam, beta_1: 0.8}
loss: mse
metrics: [mae, mse]
data: random
"""


@pytest.fixture
def mine(write):
    return write("mine.yaml", MINE)


def tree(text):
    return read_yaml(text, TextSource("test.yaml", tuple(text.split("\n"))))


def loaded(file, *words):
    document = load(str(file), words)
    assert document.problems == ()
    return document.tree.as_python()


@pytest.mark.parametrize(
    ("base", "over", "merged"),
    [
        ("a: 1", "b: 2", {"a": 1, "b": 2}),
        ("a: 1", "a: 2", {"a": 2}),
        ("fit: {a: 1, b: 2}", "fit: {b: 3}", {"fit": {"a": 1, "b": 3}}),
        ("list: [1, 2]", "list: [3]", {"list": [3]}),
        ("part: {name: x, o: 1}", "part: {o: 2}", {"part": {"name": "x", "o": 2}}),
        ("part: {name: x, o: 1}", "part: {name: x, p: 2}", {"part": {"name": "x", "o": 1, "p": 2}}),
        ("part: {name: x, o: 1}", "part: {name: y, p: 2}", {"part": {"name": "y", "p": 2}}),
        ("part: {name: x, o: 1}", "part: y", {"part": "y"}),
        ("part: x", "part: {o: 2}", {"part": {"name": "x", "o": 2}}),
        ("part: x", "part: {name: y}", {"part": {"name": "y"}}),
        ("n: {a: {name: x, o: 1}}", "n: {b: z}", {"n": {"a": {"name": "x", "o": 1}, "b": "z"}}),
        ("part: [1]", "part: {o: 2}", {"part": {"o": 2}}),
        ("part: {o: 2}\nlist: [1]", "part: null", {"list": [1]}),
        ("part: {name: x, o: 1}", "part: {o: null}", {"part": {"name": "x", "o": None}}),
        ("part: null", "part: {o: 2}", {"part": {"o": 2}}),
        ("name: a", "name: b", {"name": "b"}),
    ],
)
def test_two_files_are_merged_mapping_by_mapping(base, over, merged):
    assert merge(tree(base), tree(over)).as_python() == merged


def test_a_merged_key_keeps_the_place_where_it_was_written(write):
    write("base.yaml", "optimizer:\n  name: adam\n  beta_1: 2\n")
    file = write("mine.yaml", "extends: base.yaml\noptimizer: {learning_rate: 0.1}\n")
    document = load(str(file))
    assert document.place(("optimizer", "learning_rate")).line == 2
    assert document.place(("optimizer", "beta_1")).line == 3
    assert document.place(("optimizer", "beta_1")).source.name.endswith("base.yaml")
    assert document.place(("optimizer", "missing")).line == 2
    assert document.place(("missing",)).line == 0


def test_files_are_extended_in_order_and_relative_to_the_file_that_names_them(write):
    write("shared/a.yaml", "extends: b.yaml\nseed: 1\nname: a\n")
    write("shared/b.yaml", "seed: 2\nloss: mse\nstep: gan\n")
    write("c.yaml", "step: supervised\n")
    file = write("mine.yaml", "extends: [shared/a.yaml, c.yaml]\nname: mine\n")
    document = load(str(file))
    assert document.tree.as_python() == {
        "seed": 1,
        "name": "mine",
        "loss": "mse",
        "step": "supervised",
    }
    assert [path.name for path in document.files] == ["mine.yaml", "a.yaml", "b.yaml", "c.yaml"]


def test_the_same_file_may_be_extended_twice(write):
    write("base.yaml", "seed: 2\n")
    write("a.yaml", "extends: base.yaml\nname: a\n")
    file = write("mine.yaml", "extends: [a.yaml, base.yaml]\n")
    assert loaded(file) == {"seed": 2, "name": "a"}


def test_a_shipped_experiment_is_found_by_its_name_unless_a_file_has_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert locate("guide/gan") == locate("gan") == shipped()["guide/gan"]
    (tmp_path / "gan").mkdir()
    assert locate("gan") == shipped()["guide/gan"]
    (tmp_path / "digits").write_text("seed: 3\n")
    assert load("digits").tree.as_python() == {"seed": 3}


@pytest.mark.parametrize("suffix", [".yaml", ".yml"])
def test_the_suffix_of_a_file_may_be_left_out(write, suffix, monkeypatch, tmp_path):
    write(f"deep/s{suffix}", MINE)
    write("over.yaml", "extends: deep/s\nseed: 3\n")
    (tmp_path / "deep/s").mkdir()
    monkeypatch.chdir(tmp_path)
    assert read("deep/s").as_mapping() == read(f"deep/s{suffix}").as_mapping()
    assert read("deep/s").name == "s"
    assert read("./over").seed == 3
    with pytest.raises(ConfigError, match=rf"^deep/s{suffix}:3:8: model: no model is called 'ml'"):
        write(f"deep/s{suffix}", MINE.replace("mlp", "ml"))
        read("deep/s")


def test_a_name_of_two_files_is_refused(write, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("s.yaml", "s.yml", "digits.yaml"):
        write(name, MINE)
    with pytest.raises(ConfigError, match=r"^s: both s.yaml and s.yml exist; name one of them.$"):
        load("s")
    assert load("digits").path == shipped()["digits"]
    assert (beside_shipped("digits"), beside_shipped("gan")) == ("digits.yaml", None)


@pytest.mark.parametrize(
    ("key", "alone", "more"),
    [
        ("metrics", "mae", "mse"),
        ("weighted_metrics", "{name: mae, as: mean}", "mse"),
        ("callbacks", "{name: early_stopping, monitor: loss}", "terminate_on_nan"),
        ("fit.allow_nan", "loss", "mae"),
        ("plugins", "one.py", "two.py"),
    ],
)
def test_one_item_of_a_list_may_be_written_alone(write, key, alone, more):
    section, _, inner = key.rpartition(".")
    text = f"{section}: {{{inner}: {alone}}}" if section else f"{key}: {alone}"
    path = tuple(key.split("."))
    item = tree(alone).as_python()
    written = load(write("mine.yaml", text))
    assert written.tree.at(path).as_python() == [item]
    said = load(write("other.yaml", "seed: 1"), [f"{key}={alone}", f"{key}+={more}"])
    assert said.tree.at(path).as_python() == [item, more]
    assert load(write("mine.yaml", text), [f"{key}+={more}"]).tree.at(path).as_python() == [
        item,
        more,
    ]
    write("base.yaml", f"{section}: {{{inner}: [a, b]}}" if section else f"{key}: [a, b]")
    over = load(write("over.yaml", f"extends: base.yaml\n{text}"))
    assert over.tree.at(path).as_python() == [item]


def test_one_part_of_an_option_that_lists_them_may_be_written_alone(mine):
    word = "model={name: sequential, layers: {name: dense, units: 3}}"
    layers = read(str(mine), [word]).networks["model"].options["layers"]
    assert [(layer.name, layer.options) for layer in layers] == [("dense", {"units": 3})]
    with pytest.raises(ConfigError, match=r"model.layers.unit: Dense takes no 'unit'"):
        read(str(mine), [word.replace("units", "unit")])
    with pytest.raises(ConfigError, match=r"model.layers: expected a list, found a mapping"):
        read(str(mine), [word.replace("name: dense", "dense: true")])


def test_a_dataset_and_a_model_of_one_name_in_one_plugin_are_both_found(write):
    write("both.py", BOTH)
    text = MINE.replace("mlp", "{name: both, units: 3}").replace("random", "{name: both, rows: 2}")
    experiment = read(str(write("mine.yaml", f"plugins: both.py{text}")))
    assert REGISTRIES["dataset"].get("both")(rows=2) == "2 rows"
    assert REGISTRIES["model"].get("both")((4,), units=3) == "3 units"
    assert experiment.networks["model"].options == {"units": 3}


BOTH = """
from fitx import datasets, models


@datasets.register
def both(*, rows: int = 3):
    return f"{rows} rows"


@models.register
def both(input_shape, *, units: int = 4):
    return f"{units} units"
"""


def test_a_mistake_in_a_single_item_without_a_list_is_reported_at_its_place(mine):
    with pytest.raises(ConfigError, match=r"command line: metrics=acuracy: metrics\.?0?.*acuracy"):
        read(str(mine), ["metrics=acuracy"])


def test_the_environment_is_filled_in_where_a_file_is_extended(write, monkeypatch):
    write("shared/base.yaml", "seed: 2\n")
    monkeypatch.setenv("FITX_SHARED", "shared")
    file = write("mine.yaml", "extends: ${env:FITX_SHARED}/base.yaml\n")
    assert loaded(file) == {"seed": 2}


def test_an_unset_variable_in_extends_is_reported_at_that_key(write, monkeypatch):
    monkeypatch.delenv("FITX_SHARED", raising=False)
    file = write("mine.yaml", "extends: ['${env:FITX_SHARED}/base.yaml']\n")
    with pytest.raises(ConfigError, match=r":1:11: extends.0: the environment variable FITX_SHAR"):
        load(str(file))


@pytest.mark.parametrize(
    ("word", "changed"),
    [
        ("seed=3", {"seed": 3}),
        ("name=1e-3x", {"name": "1e-3x"}),
        (
            "optimizer.learning_rate=1e-3",
            {"optimizer": {"name": "adam", "beta_1": 0.8, "learning_rate": 1e-3}},
        ),
        ("model.units=[3, 4]", {"model": {"name": "mlp", "units": [3, 4]}}),
        ("model={name: mlp, units: [3]}", {"model": {"name": "mlp", "units": [3]}}),
        ("optimizer=sgd", {"optimizer": "sgd"}),
        ("optimizer.name=sgd", {"optimizer": {"name": "sgd", "beta_1": 0.8}}),
        ("metrics+=accuracy", {"metrics": ["mae", "mse", "accuracy"]}),
        ("metrics.1=accuracy", {"metrics": ["mae", "accuracy"]}),
        ("metrics.0.threshold=0.5", {"metrics": [{"name": "mae", "threshold": 0.5}, "mse"]}),
        ("~metrics.0", {"metrics": ["mse"]}),
        ("~optimizer.beta_1", {"optimizer": {"name": "adam"}}),
        ("fit.epochs=3", {"fit": {"epochs": 3}}),
        ("callbacks+={name: early_stopping}", {"callbacks": [{"name": "early_stopping"}]}),
        ("callbacks+=sample_grid", {"callbacks": ["sample_grid"]}),
        ("name=", {"name": None}),
        ("name= ", {"name": None}),
        ('name="3"', {"name": "3"}),
        ("name=a=b", {"name": "a=b"}),
        ("expect.val_loss='< 1'", {"expect": {"val_loss": "< 1"}}),
        ("data.class_weight.3=2.0", {"data": {"name": "random", "class_weight": {"3": 2.0}}}),
        ("seed=-1", {"seed": -1}),
        ("fit={epochs: 2,\n  validation_freq: 3}", {"fit": {"epochs": 2, "validation_freq": 3}}),
        ("name=größe", {"name": "größe"}),
    ],
)
def test_a_word_changes_the_document(mine, word, changed):
    before = loaded(mine)
    assert loaded(mine, word) == {**before, **changed}


def test_words_work_in_order(mine):
    words = ["model.units=[8]", "model.units+=4", "model.units.0=16", "~loss", "loss=mae"]
    read = loaded(mine, *words)
    assert (read["model"], read["loss"]) == ({"name": "mlp", "units": [16, 4]}, "mae")


def test_a_removed_key_is_gone(mine):
    assert "loss" not in loaded(mine, "~loss")


def test_a_word_that_cannot_be_followed_leaves_the_rest_to_be_checked(mine):
    document = load(str(mine), ["~nothing", "seed=3", "metrics.7=mae", "broken"])
    assert document.tree.as_python()["seed"] == 3
    assert [str(problem) for problem in document.problems] == [
        "command line: broken: is not an override; "
        "write key.path=value, key.path+=value or ~key.path.",
        "command line: ~nothing: there is no 'nothing' to remove.",
        "command line: metrics.7=mae: metrics has 2 items, counted from 0; there is no item '7'.",
    ]


def test_nothing_can_stand_below_what_came_from_the_environment(mine, monkeypatch):
    monkeypatch.setenv("FITX_SEED", "3")
    document = load(str(mine), ["seed=3", "seed.below=1"])
    assert str(document.problems[0]) == (
        "command line: seed.below=1: seed is 3 and cannot have keys."
    )


def test_an_override_is_described_by_its_parts():
    override = overrides.parse("callbacks.0.patience=3")
    assert override.path == ("callbacks", 0, "patience")
    assert (override.value.as_python(), override.append) == (3, False)
    assert overrides.parse("~a.b-c").value is None
    assert overrides.parse("a+=1").append


def test_references_are_filled_in_and_read_as_what_they_stand_for(write, monkeypatch):
    monkeypatch.setenv("FITX_N", "30")
    monkeypatch.setenv("FITX_EMPTY", "")
    monkeypatch.delenv("FITX_UNSET", raising=False)
    file = write(
        "mine.yaml",
        """
plain: ${env:FITX_N}
quoted: "${env:FITX_N}"
part: x${env:FITX_N}y${env:FITX_N}
default: ${env:FITX_UNSET:1e-3}
empty_default: ${env:FITX_UNSET:}
empty: ${env:FITX_EMPTY}
spaced: ${env:FITX_UNSET:two words}
list: ["${env:FITX_N}"]
dollar: $5 and $ {env:FITX_N}
""",
    )
    assert loaded(file) == {
        "plain": 30,
        "quoted": "30",
        "part": "x30y30",
        "default": 1e-3,
        "empty_default": None,
        "empty": None,
        "spaced": "two words",
        "list": ["30"],
        "dollar": "$5 and $ {env:FITX_N}",
    }


@pytest.mark.parametrize("value", ["a\x07b", "a\udcffb", "9" * 301])
def test_what_a_variable_holds_is_held_to_the_same_rules(mine, monkeypatch, value):
    monkeypatch.setenv("FITX_ODD", value)
    document = load(str(mine), ["name=${env:FITX_ODD}"])
    (problem,) = document.problems
    assert problem.text in (
        "the value of ${env:FITX_ODD} contains a control character.",
        "the value of ${env:FITX_ODD} is too long for an integer.",
    )


SECRET = """
name: ${env:FITX_NAME}
seed: ${env:FITX_SEED}
step: supervised
model: {name: "${env:FITX_MODEL}", units: ["${env:FITX_UNITS:8}"]}
optimizer: {name: adam, learning_rate: "0.1"}
loss: ${env:FITX_LOSS}
metrics: ["${env:FITX_METRIC}"]
data:
  name: npz
  path: ${env:FITX_PATH}
  batch_size: ${env:FITX_BATCH}
fit:
  epochs: ${env:FITX_EPOCHS:5}
callbacks:
- name: early_stopping
  monitor: ${env:FITX_MONITOR}
checkpoint:
  monitor: ${env:FITX_MONITOR}
execution:
  device: ${env:FITX_DEVICE}
expect:
  loss: ${env:FITX_BOUND}
"""
VALUES = {
    "NAME": "hidden",
    "SEED": "7",
    "MODEL": "linear",
    "LOSS": "huber",
    "METRIC": "mae",
    "PATH": "secret/x.npz",
    "BATCH": "16",
    "MONITOR": "val_mae",
    "DEVICE": "cpu",
    "BOUND": "< 3",
}


def test_references_are_kept_in_what_is_dumped(write, monkeypatch, tmp_path):
    for name, value in VALUES.items():
        monkeypatch.setenv(f"FITX_{name}", value)
    text = SECRET.replace(', units: ["${env:FITX_UNITS:8}"]', "").replace('"0.1"', "0.1")
    experiment = read(str(write("mine.yaml", text)))
    assert experiment.name == "hidden"
    assert experiment.data.options["path"] == tmp_path / "secret/x.npz"
    assert experiment.fit.epochs == 5
    written = dump(experiment)
    for reference in (
        "name: ${env:FITX_NAME}\n",
        "seed: ${env:FITX_SEED}\n",
        'name: "${env:FITX_MODEL}"\n',
        "name: ${env:FITX_LOSS}\n",
        'name: "${env:FITX_METRIC}"\n',
        f'path: "{tmp_path}/${{env:FITX_PATH}}"\n',
        "batch_size: ${env:FITX_BATCH}\n",
        "epochs: ${env:FITX_EPOCHS:5}\n",
        "monitor: ${env:FITX_MONITOR}\n",
        "device: ${env:FITX_DEVICE}\n",
        "loss: ${env:FITX_BOUND}\n",
    ):
        assert reference in written, reference
    for value in ("hidden", "huber", "val_mae", "secret", "< 3"):
        assert value not in written
    (tmp_path / "elsewhere").mkdir()
    again = read(str(write("elsewhere/again.yaml", written)))
    assert again.as_mapping() == experiment.as_mapping()
    assert again.data.options["path"] == experiment.data.options["path"]
