"""Compares the JSON Schema with the checks."""

import json

import jsonschema
import pytest

from fitx.commands.copy import SCHEMA_LINE, copy
from fitx.experiment.checks.options import data_options
from fitx.experiment.json_schema import json_schema
from fitx.experiment.yaml import reader
from fitx.experiment.yaml.locate import read_text, shipped
from fitx.experiment.yaml.tree import TextSource
from fitx.registry.kinds import FITX_KINDS
from fitx.registry.part_index import PartIndex
from fitx.registry.registries import REGISTRIES

BASE = """
step: supervised
model: mlp
optimizer: adam
loss: mse
data: random
"""


@pytest.fixture(scope="module")
def schema():
    return json.loads(json.dumps(json_schema(PartIndex())))


@pytest.fixture(scope="module")
def accepts(schema):
    validator = jsonschema.Draft202012Validator(schema)

    def accepted_options(text):
        return validator.is_valid(reader.read(text, TextSource("a.yaml")).as_python())

    return accepted_options


def test_it_is_a_schema_with_every_kind_of_part(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    text = json.dumps(schema)
    assert "fitx-part" not in text
    assert {"step", "layer", "optimizer", "reference"} <= schema["$defs"].keys()
    (adam,) = (
        part
        for part in schema["$defs"]["optimizer"]["anyOf"]
        if part.get("properties", {}).get("name", {}).get("anyOf", [{}])[0].get("enum", [""])[0]
        == "adam"
    )
    assert adam["description"] == "Optimizer that implements the Adam algorithm."
    assert schema["properties"]["seed"]["description"] == "Seed of all random numbers."


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_experiment_is_valid(name, accepts):
    assert accepts(read_text(name, shipped()[name])[0])


@pytest.mark.parametrize(
    "line",
    [
        "seed: 3",
        "seed: ${env:SEED}",
        "fit:\n  epochs: ${env:EPOCHS:3}",
        "extends: [a.yaml, b.yaml]",
        "optimizer: {name: Adam, learning_rate: 0.1}",
        "optimizer: {learning_rate: 0.1}",
        "optimizer: ${env:OPTIMIZER}",
        "optimizer: {name: sgd, learning_rate: {name: cosine_decay, initial_learning_rate: 0.1, "
        "decay_steps: total}}",
        "loss: MSE",
        "loss: {a: mse, b: {name: mse, reduction: sum}}",
        "loss: [mse, null]",
        "loss_weights: {a: 1.0, b: 2.0}",
        "metrics: {a: mae, b: [mae, {name: mse, as: squares}]}",
        "metrics: [[mae], mse]",
        "metrics: mae",
        "data: {name: zip, streams: {a: {name: digits, batch_size: 3}, b: random}, epoch: b}",
        "metrics: [mae, {name: top_k_categorical_accuracy, k: 3}]",
        "model: {name: sequential, layers: [flatten, {name: dense, units: 3, activation: relu}]}",
        "model: {name: sequential, layers: [{name: bidirectional, layer: {name: lstm, units: 3}}]}",
        "callbacks: [{name: early_stopping, monitor: val_loss, patience: 3}]",
        "data: {name: digits, batch_size: 3, class_weight: {0: 1.5}}",
        "expect: {loss: '< 3'}",
        "checkpoint: {every: 500 steps, keep: 3}",
    ],
)
def test_what_the_language_takes_is_valid(line, accepts):
    kept = [old for old in BASE.splitlines() if not line.startswith(old.partition(":")[0] or "?")]
    assert accepts("\n".join([*kept, line]))


@pytest.mark.parametrize(
    "line",
    [
        "seed: -1",
        "seed: yes",
        "optimiser: adam",
        "fit: {epoch: 3}",
        "fit: {epochs: ten}",
        "optimizer: adan",
        "optimizer: {name: adam, learning_rat: 0.1}",
        "optimizer: {name: adam, learning_rate: -1}",
        "metrics: {mae: true}",
        "model: {name: sequential, layers: [{name: dense, unit: 3}]}",
        "model: {name: sequential, layers: [{name: dense}]}",
        "model: {name: sequential, layers: [{name: dense, units: 3, activation: rellu}]}",
        "data: {name: digits, batch_size: 0}",
        "data: {name: zip, streams: {a: digits}, batch_size: 3}",
        "execution: {device: cuda}",
    ],
)
def test_what_the_language_refuses_is_not(line, accepts):
    kept = [old for old in BASE.splitlines() if not line.startswith(old.partition(":")[0] or "?")]
    assert not accepts("\n".join([*kept, line]))


def test_the_parts_of_a_plugin_are_in_it(write):
    file = write(
        "mine.py",
        "from fitx import datasets\n\n@datasets.register\ndef load(*, rows: int = 3):\n"
        '    """Rows of mine."""\n',
    )
    part_index = PartIndex()
    part_index.add_plugin(file)
    validator = jsonschema.Draft202012Validator(json_schema(part_index))
    assert validator.is_valid({"data": {"name": "mine", "rows": 4}})
    assert validator.is_valid({"data": "mine"})
    assert not validator.is_valid({"data": {"name": "mine", "row": 4}})


def test_a_copied_experiment_names_the_schema(tmp_path):
    copied, _ = copy("guide/simple", tmp_path / "mine.yaml")
    first, _, rest = copied.read_text(encoding="utf-8").partition("\n")
    assert first + "\n" == SCHEMA_LINE == "# yaml-language-server: $schema=fitx.schema.json\n"
    assert rest == shipped()["guide/simple"].read_text(encoding="utf-8")


def test_every_key_and_every_option_of_a_part_has_a_description(schema):
    undescribed = [key for key, value in keys(schema) if not description(value, schema)]
    assert undescribed == []


@pytest.mark.parametrize("kind", FITX_KINDS)
def test_every_option_of_a_shipped_part_is_described_in_words(kind):
    part_index = PartIndex()
    signatures = [part_index.signature(kind, name) for name in REGISTRIES[kind].files()]
    options = [*data_options(), *(p for s in signatures if s for p in s.parameters)]
    assert [option.name for option in options if not option.description] == []


def test_an_option_of_keras_says_what_keras_says_of_it(schema):
    parts = schema["$defs"]["optimizer"]["anyOf"]
    (adam,) = (p for p in parts if '"adam"' in json.dumps(p.get("properties", {}).get("name")))
    assert adam["properties"]["epsilon"]["description"].startswith("A small constant for")
    assert adam["properties"]["clipnorm"]["description"].startswith("Float. If set, the gradient")


def keys(schema):
    """Yield the name and the schema of every key, below every mapping."""
    if isinstance(schema, list):
        for item in schema:
            yield from keys(item)
    elif isinstance(schema, dict):
        properties = schema.get("properties")
        if isinstance(properties, dict):
            # The name of a part is what the part's own description is about.
            yield from ((key, value) for key, value in properties.items() if key != "name")
        for value in schema.values():
            yield from keys(value)


def description(value, schema):
    reference = value.get("$ref", "").rpartition("/")[2]
    return value.get("description") or schema["$defs"].get(reference, {}).get("description")
