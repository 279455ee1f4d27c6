"""Parts of fitx, of Keras and of plugins, found without importing any of them."""

import pytest

from fitx.registry import python_source
from fitx.registry.part_index import PartIndex
from fitx.registry.registries import REGISTRIES, Registry


@pytest.fixture
def plugin(tmp_path):
    """Write a plugin and add it to a part index."""

    def add(text, name="mine"):
        path = tmp_path / f"{name}.py"
        path.write_text(text, encoding="utf-8")
        part_index = PartIndex()
        return part_index, part_index.add_plugin(path)

    return add


@pytest.mark.parametrize(
    ("head", "decorator", "kind"),
    [
        ("from fitx import steps", "steps.register", "step"),
        ("from fitx import Step, models", "models.register", "model"),
        ("from fitx import datasets as d", "d.register", "dataset"),
        ("import fitx", "fitx.callbacks.register", "callback"),
        ("import fitx.callbacks", "fitx.callbacks.register", "callback"),
        ("from fitx.steps import register", "register", "step"),
        ("from fitx.models import register as put", "put", None),
        ("from other import steps", "steps.register", None),
        ("from fitx import steps", "steps.register_more", None),
        ("from fitx import losses", "losses.register", None),
        ("from fitx import steps", "functools.cache", None),
    ],
)
def test_a_part_is_known_by_its_decorator(plugin, head, decorator, kind):
    _, parts = plugin(f"{head}\n\n@{decorator}\nclass Mine: ...\n")
    assert set(parts) == ({kind} if kind else set())


def test_a_plugin_may_register_one_of_each_kind(plugin):
    part_index, parts = plugin(
        "from fitx import models, steps\n"
        "@steps.register\nclass Mine: ...\n"
        "@models.register\ndef mine(input_shape, *, units: int = 3): ...\n"
    )
    assert set(parts) == {"step", "model"}
    assert "mine" in part_index.names("step")
    assert str(
        part_index.signature("model", "mine")
    ) == "mine(input_shape, *, units: int=3)".replace("int=3", "int = 3")
    assert part_index.registered_as("step", "Mine") == "mine"
    assert part_index.registered_as("step", "Other") is None
    part_index.drop_plugin(next(iter(part_index.plugins)))
    assert "mine" not in part_index.names("step")


def test_parts_of_several_kinds_may_have_one_name_in_a_file(plugin):
    text = "from fitx import datasets, models\n\n"
    text += "@datasets.register\ndef mine(*, rows: int = 3):\n    'Rows.'\n\n"
    text += "@models.register\ndef mine(input_shape, *, units: int = 4):\n    'A network.'\n"
    part_index, parts = plugin(text)
    assert list(parts) == ["dataset", "model"]
    assert str(part_index.signature("dataset", "mine")) == "mine(rows: int = 3)"
    assert str(part_index.signature("model", "mine")) == "mine(input_shape, *, units: int = 4)"


def test_two_parts_of_a_kind_in_one_file_are_refused(plugin):
    text = "from fitx import steps\n@steps.register\nclass A: ...\n@steps.register\nclass B: ...\n"
    with pytest.raises(ValueError, match="registers two steps; one file registers one of a kind"):
        plugin(text)


def test_parts_are_found_in_the_first_branch_of_a_condition(plugin):
    _, parts = plugin(
        "from fitx import steps\n"
        "try:\n    @steps.register\n    class A: ...\n"
        "except ImportError:\n    @steps.register\n    class B: ...\n"
    )
    assert parts["step"].node.name == "A"


def test_names_are_sorted_and_of_every_source():
    names = PartIndex().names("callback")
    assert names == sorted(names)
    assert {"sample_grid", "early_stopping"} <= set(names)


def test_a_shipped_file_that_registers_another_kind_is_no_part(tmp_path, monkeypatch):
    (tmp_path / "odd.py").write_text("x = 1\n")
    monkeypatch.setattr(Registry, "files", lambda self: {"odd": tmp_path / "odd.py"})
    assert PartIndex().find("step", "odd") is None
    assert PartIndex().step_facts("odd") is None


def test_a_registry_imports_a_part_when_it_is_asked_for(tmp_path, monkeypatch):
    package = tmp_path / "a_registry_of_mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "_private.py").write_text("")
    (package / "thing.py").write_text("from fitx.registry.registries import REGISTRIES\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry("thing", "a_registry_of_mine")
    assert list(registry.files()) == ["thing"]
    with pytest.raises(KeyError):
        registry.get("thing")
    assert Registry("thing", "a_package_that_is_not_there").files() == {}


def test_a_registry_takes_one_part_of_a_file_and_one_file_of_a_name():
    registry = Registry("thing", "nowhere")

    def part(module, name="part"):
        def made(): ...

        made.__module__, made.__qualname__ = module, name
        return made

    first = registry.register(part("plugins.mine"))
    assert registry.get("mine") is first
    assert registry.has_part_of("plugins.mine")
    again = registry.register(part("plugins.mine"))
    assert registry.get("mine") is again
    with pytest.raises(ValueError, match=r"one file registers one thing; mine\.py registers two"):
        registry.register(part("plugins.mine", "other"))
    with pytest.raises(ValueError, match="thing 'mine' is registered already, by plugins.mine"):
        registry.register(part("fitx.things.mine"))
    registry.forget("plugins.mine")
    assert not registry.has_part_of("plugins.mine")


def test_every_shipped_part_registers_under_its_file_s_name():
    part_index = PartIndex()
    for kind, registry in REGISTRIES.items():
        for name, file in registry.files().items():
            found = part_index.find(kind, name)
            assert found is not None and found.module.path == file, (kind, name)


def test_names_are_followed_through_imports(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        "import keras\n"
        "import keras.metrics as m\n"
        "from keras import metrics\n"
        "from keras.optimizers import Adam as A\n"
        "import a_package_that_is_not_there\n"
        "class Own: ...\n"
    )
    module = python_source.read(path)
    for name in ("keras.metrics.Mean", "m.Mean", "metrics.Mean"):
        assert python_source.find(module, name).node.name == "Mean"
    assert python_source.find(module, "A").node.name == "Adam"
    assert python_source.find(module, "Own").node.name == "Own"
    for name in ("Missing", "Own.inner", "keras", "keras.nothing", "a_package_that_is_not_there.X"):
        assert python_source.find(module, name) is None


def test_bases_come_nearest_first_and_end_where_they_go_in_a_circle(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("class A(B, C): ...\nclass B(D): ...\nclass C(A): ...\nclass D(A): ...\n")
    module = python_source.read(path)
    members = python_source.class_and_bases(python_source.find(module, "A"))
    assert [member.node.name for member in members] == ["A", "B", "D", "C"]
