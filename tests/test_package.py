"""What is installed is what is in the tree, and what CI runs is what the README says."""

import email
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
FOLDERS = {"fitx": "fitx", "cli": "fitx/cli", "steps": "fitx/steps", "configs": "fitx/configs"}
BUILT = ("pyproject.toml", "README.md", "LICENSE", *FOLDERS)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel as pip does, from a copy of the tree and without a network."""
    copy = tmp_path_factory.mktemp("tree")
    for name in BUILT:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, copy / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, copy)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", "dist", "."]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = (copy / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def content(wheel):
    """The bytes of every file in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_exactly_what_is_in_the_tree(content):
    there = {
        f"{package}/{file.relative_to(ROOT / folder).as_posix()}": file.read_bytes()
        for folder, package in FOLDERS.items()
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and file.suffix in (".py", ".yaml", ".npz", ".md")
    }
    inside = {name: data for name, data in content.items() if ".dist-info/" not in name}
    assert inside.keys() == there.keys()
    assert all(inside[name] == there[name] for name in there)


def test_every_file_of_the_tree_is_of_a_kind_that_is_installed():
    kinds = {
        file.suffix
        for folder in FOLDERS
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert kinds == {".py", ".yaml", ".npz", ".md"}


def test_nothing_but_fitx_is_installed_at_the_top(content):
    tops = {name.partition("/")[0] for name in content}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"fitx"}
    assert "fitx/configs/guide/gan.yaml" in content
    assert "fitx/datasets/digits.npz" in content


def test_the_wheel_names_the_command_its_versions_and_its_licence(content):
    (entry_points,) = (data for name, data in content.items() if name.endswith("entry_points.txt"))
    assert "fitx = fitx.cli.main:main" in entry_points.decode()
    (metadata,) = (data for name, data in content.items() if name.endswith("/METADATA"))
    about = email.message_from_bytes(metadata)
    assert about["Requires-Python"] == "<3.14,>=3.11"
    needed = {re.split(r"[<>=\[; ]", r)[0] for r in about.get_all("Requires-Dist")}
    assert {"tensorflow", "keras", "numpy", "pyyaml", "click", "rich", "pydantic"} <= needed
    assert any(name.endswith("LICENSE") for name in content)


def test_what_is_installed_works_without_the_tree(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    script = (
        "import fitx.cli.main, fitx.configs, sys\n"
        "print(fitx.configs.__file__, flush=True)\n"
        "sys.argv = ['fitx', 'check', 'guide/gan']\n"
        "fitx.cli.main.main()\n"
    )
    variables = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"{tmp_path}/site/fitx/configs/__init__.py",
        "guide/gan: no problems.",
    ]


def test_ci_runs_make_check_which_lints_types_and_tests():
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert (ROOT / ".ci/run").read_text().splitlines()[-1] == "make check"
    command = ["make", "--dry-run", "--always-make", "check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for words in ("ruff check .", "ruff format --check .", "mypy", "-m pytest"):
        assert words in done.stdout


def needed_by(name, extras=("",)):
    """The names of all distributions that one needs, and those need, as they are installed here."""
    found, open_ends = set(), [(name, tuple(extras))]
    while open_ends:
        name, extras = open_ends.pop()
        for line in importlib.metadata.requires(name) or ():
            needed = Requirement(line)
            marker = needed.marker
            if marker and not any(marker.evaluate({"extra": extra}) for extra in extras):
                continue
            if canonicalize_name(needed.name) not in found:
                found.add(canonicalize_name(needed.name))
                open_ends.append((needed.name, ("", *needed.extras)))
    return found


def test_the_constraints_name_one_version_of_everything_that_is_needed():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"==[\w.]+", str(pin.specifier)) for pin in pins)
    names = [canonicalize_name(pin.name) for pin in pins]
    assert len(set(names)) == len(names)
    assert needed_by("fitx", ("", "dev")) <= set(names)


@pytest.mark.parametrize("target", ["demo", "test", "check", "bench", "newest"])
def test_make_installs_the_constraints_versions_except_for_the_newest(target):
    command = ["make", "--dry-run", "--always-make", target]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    installs = [line for line in done.stdout.splitlines() if "--editable" in line]
    assert installs
    for line in installs:
        assert ("--constraint constraints.txt" in line) == (target != "newest")
        assert line.startswith(".venv-newest/" if target == "newest" else ".venv/")


def test_the_readme_begins_with_commands_that_make_knows():
    readme = (ROOT / "README.md").read_text()
    commands = re.findall(r"^make (\w+)", readme, re.MULTILINE)
    assert commands[:2] == ["demo", "test"]
    for target in {*commands, *re.findall(r"`make (\w+)`", readme)}:
        dry = ["make", "--dry-run", target]
        assert subprocess.run(dry, cwd=ROOT, capture_output=True, check=False).returncode == 0
