"""Runs every block of README.md, SECURITY.md and docs/, as a reader would, page by page.

Each page has a folder of its own. A YAML or Python block whose first line is a comment with a
file's name is written to that file. Of the others, YAML is checked on top of the page's last
experiment, and Python is executed. Commands of fitx run in this process.

A YAML block with `broken` after its language has to be refused. A block with `no-run` is not run;
an HTML comment above it gives the reason, and its commands of fitx have to exist.
"""

import os
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import BytesIO, TextIOWrapper
from pathlib import Path

import click
import pytest
import yaml

from fitx import errors
from fitx.cli._results import print_failure
from fitx.cli.main import group
from fitx.experiment import schema

from .pages import PAGES, ROOT, anchors, blocks, commands, matches

BASE = """\
step: supervised
model: mlp
optimizer: adam
loss: sparse_categorical_crossentropy
data: {name: digits, validation_split: 0.1}
"""
BROKEN = "broken"
LANGUAGES = {"sh", "console", "yaml", "python", "text"}
MOST_LINES = 180
MOST_NOT_RUN = 9
COMMAND = re.compile(r"\bfitx [a-z]")
SPAN = re.compile(r"(?<!`)`(fitx [^`]+)`")
FENCED = re.compile(r"^```.*?^```$", re.M | re.S)
FILE = re.compile(r"[` ]((?:bench|cli|configs|docs|fitx|steps|tests)/[\w./-]*)[`,; ]")
NAMES = {page: str(page.relative_to(ROOT)) for page in PAGES}


class Reader:
    """Follows a page in a folder."""

    def __init__(self, monkeypatch):
        self._monkeypatch = monkeypatch
        self._experiment = "base.yaml"
        self._names = {}
        self._code = 0
        Path(self._experiment).write_text(BASE)

    def follow(self, block):
        """Write, check or run one block."""
        if block.file:
            Path(block.file).parent.mkdir(parents=True, exist_ok=True)
            Path(block.file).write_text(block.text)
        if block.language == "python":
            code = compile(block.text, str(block), "exec")
            if not block.file:
                exec(code, self._names)  # noqa: S102 - the page's own code.
        elif block.language == "yaml":
            self._check(block)
        elif block.language in ("sh", "console"):
            for command, quoted in commands(block):
                self._type(block, command, quoted)

    def _check(self, block):
        file = block.file or "fragment.yaml"
        if block.file:
            self._experiment = self._experiment if BROKEN in block.words else block.file
        else:
            Path(file).write_text(f"extends: {self._experiment}\n{block.text}")
        if not block.file or {"step", "extends"} & set(yaml.safe_load(block.text)):
            code, printed = self._fitx("check", file)
            assert code == (2 if BROKEN in block.words else 0), f"{block}: {printed}"

    def _type(self, block, command, quoted):
        if command == "echo $?":
            assert self._code == int(quoted), f"{block}: exit code {self._code}"
            return
        words = shlex.split(command, comments=True)
        if words[0] == "fitx" and not {"|", ">", "&&"} & set(words):
            self._code, printed = self._fitx(*words[1:])
        else:
            self._code, printed = _shell(command)
        if "$ echo $?" not in block.text:
            assert self._code == 0, f"{block}: {command}: {printed}"
        if quoted:
            assert matches(quoted, printed), f"{block}: {command} prints\n{printed}"

    def _fitx(self, *words):
        self._monkeypatch.setattr(sys, "argv", ["fitx", *words])
        printed = TextIOWrapper(BytesIO(), encoding="utf-8", write_through=True)
        with redirect_stdout(printed), redirect_stderr(printed):
            try:
                code = group.main(list(words), standalone_mode=False)
            except BaseException as error:
                code = print_failure(error)
        return code if isinstance(code, int) else 0, printed.buffer.getvalue().decode()


def _shell(command):
    bin_folder = str(Path(sys.executable).parent)
    variables = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", command], env=variables, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr + done.stdout


@pytest.mark.parametrize("page", PAGES, ids=NAMES.values())
def test_the_blocks_of_a_page_run_one_after_the_other(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reader = Reader(monkeypatch)
    for block in blocks(page):
        if block.is_run:
            reader.follow(block)


@pytest.mark.parametrize("page", PAGES, ids=NAMES.values())
def test_blocks_name_a_language_that_is_run_or_plain_text(page):
    assert {block.language for block in blocks(page)} <= LANGUAGES


def test_the_blocks_that_are_not_run_are_few_and_have_a_reason():
    left_out = [block for page in PAGES for block in blocks(page) if not block.is_run]
    assert len(left_out) <= MOST_NOT_RUN
    assert [str(block) for block in left_out if not block.comment.startswith("not run: ")] == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES.values())
def test_commands_in_the_text_and_in_blocks_that_are_not_run_exist_with_their_options(page):
    left_out = [block for block in blocks(page) if not block.is_run and block.language == "sh"]
    typed = [command for block in left_out for command, _ in commands(block)]
    for text in [*SPAN.findall(page.read_text()), *filter(COMMAND.search, typed)]:
        words = shlex.split(text, comments=True)
        _assert_exists(words[words.index("fitx") + 1 :], text)
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert {word for text in typed for word in re.findall(r"^make (\w+)", text)} <= targets


def _assert_exists(words, text):
    command = group
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        command = command.get_command(click.Context(command), words.pop(0))
        assert command is not None, text
    known = {name for option in command.params for name in option.opts} | {"--help", "--version"}
    assert {word for word in words if re.match("--?[a-z]", word)} <= known, text


@pytest.mark.parametrize("page", PAGES, ids=NAMES.values())
def test_links_lead_to_files_and_headings(page):
    text = page.read_text()
    targets = re.findall(r"\]\(([^)]+)\)|src=\"([^\"]+)\"", text)
    for target in (a or b for a, b in targets):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("page", PAGES, ids=NAMES.values())
def test_the_files_that_the_text_names_exist(page):
    named = FILE.findall(FENCED.sub("", page.read_text()))
    assert [file for file in named if "NAME" not in file and not (ROOT / file).exists()] == []


def test_the_readme_is_short_and_links_to_every_page():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= MOST_LINES
    assert [name for name in list(NAMES.values())[1:] if f"({name}" not in text] == []


def test_every_room_is_explained():
    text = (ROOT / "docs/extending.md").read_text()
    rooms = [file.parent.name for file in (ROOT / "fitx").glob("*/__init__.py")]
    assert [room for room in rooms if f"`fitx/{room}`" not in text] == []


def test_the_readme_names_every_command():
    listed = re.findall(r"^\| `fitx ([\w-]+)", (ROOT / "README.md").read_text(), re.M)
    assert sorted(listed) == group.list_commands(click.Context(group))


def test_every_key_of_an_experiment_is_explained():
    text = (ROOT / "docs/experiment-file.md").read_text()
    keys = [*schema.Settings.model_fields, "extends"]
    keys += [key for section in schema.SECTIONS.values() for key in section.model_fields]
    assert [key for key in keys if f"`{key}`" not in text] == []


def test_every_exit_code_is_explained():
    text = (ROOT / "docs/ci.md").read_text()
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.M)}
    kinds = {kind.exit_code for kind in errors.FitxError.__subclasses__()}
    assert listed == kinds | {0, 2, 129, 130, 143}
