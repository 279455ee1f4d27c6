"""Shipped experiments and parts, copied for the user to change."""

import json
import os

import jsonschema
import pytest

from fitx.commands.copy import copy
from fitx.errors import StorageError, UsageError
from fitx.experiment.check import read
from fitx.experiment.yaml import reader
from fitx.experiment.yaml.locate import shipped
from fitx.experiment.yaml.tree import TextSource
from fitx.registry.part_index import PartIndex
from fitx.registry.registries import REGISTRIES


@pytest.mark.parametrize("name", sorted(shipped()))
def test_a_copied_experiment_checks_like_the_shipped_one(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, *_ = copy(name, None)
    assert read(str(first)).as_mapping() == read(name).as_mapping()


def test_what_an_experiment_extends_is_copied_beside_it(tmp_path):
    (tmp_path / "sub").mkdir()
    assert copy("guide/weighted", tmp_path / "sub/mine.yaml") == [
        tmp_path / "sub/mine.yaml",
        tmp_path / "sub/simple.yaml",
        tmp_path / "sub/fitx.schema.json",
    ]
    assert copy("guide/weighted", tmp_path)[0] == tmp_path / "weighted.yaml"


@pytest.mark.parametrize(
    "name", [f"{kind}/{name}" for kind, registry in REGISTRIES.items() for name in registry.files()]
)
def test_a_copied_part_is_a_plugin_of_another_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kind, _, word = name.partition("/")
    (file,) = copy(name, None)
    assert file.name == f"my_{word}.py"
    part_index = PartIndex()
    assert list(part_index.add_plugin(file.resolve())) == [kind]
    mine, shipped_one = (part_index.signature(kind, n) for n in (f"my_{word}", word))
    assert str(mine) == str(shipped_one)


def test_the_schema_that_a_copy_names_is_there_and_takes_it(tmp_path):
    first, schema = copy("digits", tmp_path)
    line, text = first.read_text().split("\n", 1)
    assert first.parent / line.partition("$schema=")[2] == schema
    validator = jsonschema.Draft202012Validator(json.loads(schema.read_text()))
    assert validator.is_valid(reader.read(text, TextSource("")).as_python())
    assert not validator.is_valid({"step": "supervise"})
    schema.write_text("mine")
    assert copy("digits", tmp_path / "other.yaml") == [tmp_path / "other.yaml"]
    assert schema.read_text() == "mine"


def test_nothing_is_overwritten_and_then_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "simple.yaml").write_text("mine\n")
    with pytest.raises(UsageError) as caught:
        copy("guide/weighted", None)
    assert str(caught.value) == "simple.yaml exists; name another file. Nothing was written."
    assert [path.name for path in tmp_path.iterdir()] == ["simple.yaml"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("guide/gna", "nothing shipped is called 'guide/gna'. Did you mean 'guide/gan'?"),
        ("supervized", "nothing shipped is called 'supervized'. Did you mean 'supervised'?"),
        ("xyz", "nothing shipped is called 'xyz'. `fitx list` lists all names."),
        ("model/gan", "nothing shipped is called 'model/gan'. Did you mean 'guide/gan'?"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(name, said):
    with pytest.raises(UsageError) as caught:
        copy(name, None)
    assert str(caught.value) == said


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(StorageError) as caught:
        copy("guide/simple", tmp_path / "no/x.yaml")
    assert str(caught.value) == f"cannot write {tmp_path}/no/x.yaml: No such file or directory."


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_to_is_told(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="Permission denied"):
        copy("guide/simple", tmp_path / "x.yaml")
