import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import fitx.configs
from fitx.cli.doctor import command
from fitx.commands.doctor import diagnose, version_problems


@pytest.fixture(scope="module")
def facts():
    return diagnose()


@pytest.fixture
def broken(tmp_path):
    """An environment with an old Keras and a TensorFlow that cannot be imported."""
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text("raise ImportError('libfoo.so.2')")
    (tmp_path / "keras-3.12.0.dist-info").mkdir()
    metadata = "Metadata-Version: 2.1\nName: keras\nVersion: 3.12.0\n"
    (tmp_path / "keras-3.12.0.dist-info" / "METADATA").write_text(metadata)
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def run_fitx(*words, env=None):
    command = [sys.executable, "-m", "fitx.cli.main", *words]
    return subprocess.run(command, capture_output=True, text=True, env=env)


def test_the_diagnosis_is_json_and_complete(facts):
    assert json.loads(json.dumps(facts)) == facts
    assert facts["versions"]["keras"].startswith("3.15.")
    assert facts["devices"][0]["name"] == "CPU:0"
    assert facts["threads"] >= 1
    assert facts["configs"] == len(list(Path(fitx.configs.__file__).parent.rglob("*.yaml")))
    assert Path(facts["datasets"]).name == "datasets"
    assert facts["problems"] == []
    assert facts["device"].startswith("GPU" if facts["no_gpu"] is None else "CPU")


def test_the_cache_of_datasets_is_the_one_keras_uses(facts):
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    assert facts["datasets"] == str(Path(home) / "datasets")


def test_the_command_prints_readable_lines_and_succeeds_without_gpu(facts):
    result = CliRunner().invoke(command, [])
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())

    assert result.exit_code == 0
    assert lines["keras"] == facts["versions"]["keras"]
    assert lines["problems"] == "none"
    assert (facts["no_gpu"] or "") in result.stdout
    assert all(character.isprintable() or character == "\n" for character in result.stdout)


def test_a_sound_installation_is_one_json_object_and_success():
    run = run_fitx("doctor", "--json")
    assert run.returncode == 0
    assert json.loads(run.stdout)["problems"] == []


def test_a_broken_installation_is_told_line_by_line_and_exits_4(broken):
    run = run_fitx("doctor", env=broken)

    assert run.returncode == 4
    assert run.stdout.splitlines()[-2:] == [
        "problem      keras 3.12.0 is installed, but fitx needs >=3.15.1,<3.16: "
        "run `pip install 'keras>=3.15.1,<3.16'`",
        "problem      TensorFlow cannot be imported: ImportError: libfoo.so.2",
    ]
    assert run.stderr == ""


def test_a_broken_installation_is_still_one_json_object(broken):
    run = run_fitx("doctor", "--json", env=broken)

    assert run.returncode == 4
    told = json.loads(run.stdout)
    assert told["versions"]["keras"] == "3.12.0"
    assert len(told["problems"]) == 2


REQUIREMENTS = ["keras<3.16,>=3.15.1", "pyyaml>=6.0.2", 'pytest>=8; extra == "dev"']


@pytest.mark.parametrize(
    ("keras", "problems"),
    [
        ("3.15.1", []),
        ("3.15.2.dev1", []),
        (
            "3.12.0",
            [
                "keras 3.12.0 is installed, but fitx needs >=3.15.1,<3.16: "
                "run `pip install 'keras>=3.15.1,<3.16'`"
            ],
        ),
        (
            "3.16.0",
            [
                "keras 3.16.0 is installed, but fitx needs >=3.15.1,<3.16: "
                "run `pip install 'keras>=3.15.1,<3.16'`"
            ],
        ),
        (None, ["keras is not installed: run `pip install 'keras>=3.15.1,<3.16'`"]),
    ],
)
def test_versions_outside_their_bounds_are_problems(keras, problems):
    installed = {"keras": keras, "pyyaml": "6.0.2"}
    assert version_problems(REQUIREMENTS, installed.get) == problems
