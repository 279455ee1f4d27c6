"""The `fitx check` command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from fitx.cli.main import group
from fitx.experiment.check import read
from fitx.experiment.problems import ConfigError

from .conftest import WAITED

FITX = Path(sys.executable).with_name("fitx")
CORPUS = Path(__file__).parent.parent / "corpus"
MINE = "extends: guide/simple\nname: mine\n"
NOISY = """
from fitx import datasets

print("words of the plugin")


@datasets.register
def noisy(): ...
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(MINE)
    return "mine.yaml"


def fitx(folder, *words, **variables):
    """Run the real command, which writes the modules it imported to descriptor 9."""
    return subprocess.run(
        [FITX, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPROFILEIMPORTTIME": "", **variables},
    )


def test_a_good_experiment_has_no_problems(mine):
    done = CliRunner().invoke(group, ["check", mine, "fit.epochs=3"])
    assert (done.exit_code, done.stdout) == (0, "mine.yaml: no problems.\n")


def test_resolved_prints_a_file_that_checks_again(mine, tmp_path):
    done = CliRunner().invoke(group, ["check", mine, "--resolved", "fit.epochs=3"])
    assert done.stdout.startswith("version: 1\nname: mine\nseed: 0\nstep:\n  name: supervised\n")
    (tmp_path / "again.yaml").write_text(done.stdout)
    assert read("again.yaml").fit.epochs == 3


def test_json_is_one_object_with_the_experiment(mine):
    done = CliRunner().invoke(group, ["check", mine, "--json", "seed=3"])
    result = json.loads(done.stdout)
    assert (result["file"], result["problems"]) == ("mine.yaml", [])
    assert result["experiment"]["seed"] == 3


def test_what_a_plugin_prints_is_no_part_of_the_result(mine, tmp_path):
    (tmp_path / "noisy.py").write_text(NOISY)
    words = ["plugins=[noisy.py]", "data=noisy"]
    done = CliRunner().invoke(group, ["check", mine, "--json", *words])
    assert json.loads(done.stdout)["experiment"]["data"]["name"] == "noisy"
    assert done.stderr == "words of the plugin\n"


def test_problems_are_raised_as_one_error(mine):
    done = CliRunner().invoke(group, ["check", mine, "fit.epoch=3", "seed=-1"])
    assert isinstance(done.exception, ConfigError)
    assert len(done.exception.problems) == 2


REAL = [
    ("keys", "several_in_one_pass", []),
    ("yaml", "unclosed_brace", []),
    ("networks", "design_example", []),
    ("plugins", "raises_at_import", []),
    ("overrides", "unknown_key", ["fit.epoch=3"]),
]


@pytest.mark.parametrize("command", ["check", "train"])
@pytest.mark.parametrize(("topic", "name", "words"), REAL)
def test_the_real_command_exits_with_2_and_the_pinned_text(command, topic, name, words):
    before = sorted(CORPUS.rglob("*"))
    done = fitx(CORPUS / topic, command, f"{name}.yaml", *words)
    expected = (CORPUS / topic / f"{name}.txt").read_text(encoding="utf-8")
    stderr = WAITED.sub("", done.stderr)
    assert (done.returncode, done.stdout, stderr) == (2, "", expected)
    assert sorted(CORPUS.rglob("*")) == before


def test_with_json_the_problems_are_on_standard_output_too():
    done = fitx(CORPUS / "networks", "check", "--json", "design_example.yaml")
    assert done.returncode == 2
    result = json.loads(done.stdout)
    assert result["code"] == 2
    assert [(p["line"], p["column"], p["key"]) for p in result["problems"]] == [
        (3, 3, "networks.critic"),
        (8, 27, "optimizers.generator.learning_rat"),
    ]
    assert done.stderr.startswith("design_example.yaml:3:3: networks.critic: step 'gan' has no")


@pytest.mark.parametrize(
    "words",
    [
        ("check", "guide/gan"),
        ("check", "digits", "--resolved"),
        ("list",),
        ("list", "layer"),
        ("show", "gan"),
        ("schema",),
        ("--help",),
        ("train", "overrides/unknown_key.yaml", "fit.epoch=3"),
        ("evaluate", "overrides/unknown_key.yaml", "fit.epoch=3"),
    ],
)
def test_neither_tensorflow_nor_numpy_is_imported(words):
    done = fitx(CORPUS, *words, PYTHONPROFILEIMPORTTIME="1")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "click" in imported
    assert not imported & {"tensorflow", "keras", "numpy", "rich"}


def test_no_file_is_named_or_two_words_are_too_few():
    done = fitx(CORPUS, "check")
    assert done.returncode == 2
    assert "Missing argument 'FILE'." in done.stderr
    assert done.stdout == ""
