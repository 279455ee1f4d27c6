"""Where a command is started: it imports nothing from the working folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FITX = Path(sys.executable).with_name("fitx")
NAMES = ("click", "yaml", "numpy", "pydantic", "rich", "keras", "tensorflow", "fitx", "json")
NAMES += ("sitecustomize", "usercustomize", "keras_hub", "ml_dtypes", "dataclasses", "typing")


@pytest.fixture
def trapped(place):
    """A working folder full of modules that leave a canary when they are imported."""
    place.write("mine.yaml", "extends: guide/simple\n")
    for name in NAMES:
        place.write(f"{name}.py", place.shot)
        place.write(f"{name}/__init__.py", place.shot)
    return place


def check(command, place):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.run(
        [*command, "check", "mine.yaml"], cwd=place.work, env=kept, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    "command", [[FITX], [sys.executable, "-P", "-m", "fitx.cli.main"]], ids=["fitx", "python -P"]
)
def test_nothing_is_imported_from_the_working_folder(trapped, command):
    done = check(command, trapped)
    assert (done.returncode, done.stdout) == (0, "mine.yaml: no problems.\n"), done.stderr
    assert not trapped.canary.exists()
    assert not list(trapped.work.rglob("__pycache__"))


def test_python_m_imports_from_the_working_folder_before_fitx_has_a_say(trapped):
    """Why SECURITY.md asks for -P there; and the proof that the canary would have told."""
    check([sys.executable, "-m", "fitx.cli.main"], trapped)
    assert trapped.canary.exists()
