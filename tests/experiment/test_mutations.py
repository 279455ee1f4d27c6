"""Shipped experiments with random changes: they are refused as ConfigError or dumped unchanged."""

import copy
import os
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from fitx.experiment.check import read
from fitx.experiment.dump import dump
from fitx.experiment.problems import ConfigError
from fitx.experiment.schema import SECTIONS, Settings
from fitx.experiment.yaml.locate import shipped
from fitx.registry.kinds import KINDS
from fitx.registry.part_index import PartIndex

EXAMPLES = int(os.environ.get("EXAMPLES", "60"))
"""Random experiments a test; `EXAMPLES=20000 pytest tests/experiment/test_mutations.py` hunts."""

FILES = sorted(set(shipped().values()))
NAMES = sorted({name for kind in KINDS for name in PartIndex().spellings(kind)})
KEYS = sorted(
    {"name", "extends", *Settings.model_fields}
    | {key for section in SECTIONS.values() for key in section.model_fields}
    | {"units", "learning_rate", "monitor", "mode", "decay_steps", "initial_learning_rate", "layer"}
    | {"layers", "activation", "batch_size", "class_weight", "0", "generator", "path", "patience"}
    | {"kernel_regularizer", "kernel_initializer", "input_shape", "seed", "momentum", "dropout"}
)
ODD = ["${env:HOME}", "${env:FITX_NO:7}", "${", "total", "val_loss", ">= 0.5", "1e-3", "", " ", "~"]
TEXTS = st.one_of(
    st.sampled_from([*ODD, "yes", "2024-01-01", "10 steps", "\x00", "\u2028", "ü", "a\nb", "<<"]),
    st.sampled_from(NAMES),
    st.text(max_size=8),
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.just(10**400), st.floats(width=32), TEXTS
)
WORDS = st.one_of(st.sampled_from(KEYS), st.text(max_size=6))
PARTS = st.builds(
    lambda name, options: {"name": name, **options},
    st.sampled_from(NAMES),
    st.dictionaries(st.sampled_from(KEYS), SCALARS, max_size=2),
)
VALUES = st.recursive(
    st.one_of(SCALARS, PARTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)),
    max_leaves=6,
)


def paths(value, path=()):
    """Return the path of every key and item in a tree."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    below = []
    for key, item in items:
        below.append((*path, key))
        if isinstance(item, dict | list):
            below += paths(item, (*path, key))
    return below


def parent(tree, path):
    for key in path[:-1]:
        tree = tree[key]
    return tree


@st.composite
def experiments(draw):
    """A shipped experiment in which some keys are dropped, renamed, retyped or added."""
    tree = copy.deepcopy(yaml.safe_load(draw(st.sampled_from(FILES)).read_text("utf-8")))
    if "extends" in tree:
        tree["extends"] = "guide/simple"
    for _ in range(draw(st.integers(1, 3))):
        known = paths(tree)
        path = draw(st.sampled_from(known)) if known else ("seed",)
        place = parent(tree, path)
        change = draw(st.sampled_from(["drop", "rename", "retype", "add", "add", "move"]))
        if change == "drop":
            place.pop(path[-1], None) if isinstance(place, dict) else place.pop(path[-1])
        elif change == "retype" or isinstance(place, list):
            place[path[-1]] = draw(VALUES)
        elif change == "rename" and path[-1] in place:
            place[draw(WORDS)] = place.pop(path[-1])
        elif change == "move" and path[-1] in place:
            tree[draw(WORDS)] = place.pop(path[-1])
        else:
            place[draw(WORDS)] = draw(VALUES)
    return yaml.dump(tree, sort_keys=False, default_flow_style=draw(st.sampled_from([True, False])))


@st.composite
def edited_texts(draw):
    """The text of a shipped experiment with characters dropped, doubled and put in."""
    text = draw(st.sampled_from(FILES)).read_text("utf-8").replace("simple.yaml", "guide/simple")
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 5)))
        mark = st.sampled_from([*"{}[]:,&*!|>'\"%@`#?-\n\t ", ": ", "- ", "<<: ", "\x00", "\ud7ff"])
        text = text[:start] + draw(st.one_of(mark, st.text(max_size=3))) + text[end:]
    return text


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def check_and_read_back(folder, text):
    note(text)
    file = folder / "mutant.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        experiment = read(str(file))
    except ConfigError as error:
        assert error.problems
        assert all(problem.text for problem in error.problems), str(error)
        return
    written = dump(experiment)
    note(written)
    again = folder / "again.yaml"
    again.write_text(written, encoding="utf-8")
    assert read(str(again)).as_mapping() == experiment.as_mapping()
    assert dump(read(str(again))) == written


SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@SETTINGS
@given(text=experiments())
def test_a_changed_experiment_is_refused_with_one_error_or_reads_back(folder, text):
    check_and_read_back(folder, text)


@SETTINGS
@given(text=edited_texts())
def test_an_edited_file_is_refused_with_one_error_or_reads_back(folder, text):
    check_and_read_back(folder, text)


@SETTINGS
@given(
    words=st.lists(
        st.builds(
            lambda k, v, s: f"{k}{s}{v}",
            WORDS,
            TEXTS,
            st.sampled_from(["=", "+=", ".name=", ".0=", ""]),
        )
        | st.builds("~{}".format, WORDS)
        | st.text(max_size=10),
        max_size=3,
    )
)
def test_random_overrides_are_refused_with_one_error_or_taken(words):
    try:
        read("guide/gan", words)
    except ConfigError as error:
        assert all(problem.text for problem in error.problems)
