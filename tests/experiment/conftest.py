import os
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from fitx.experiment.check import read
from fitx.experiment.problems import ConfigError

CORPUS = Path(__file__).parent.parent / "corpus"


@dataclass(frozen=True)
class Bad:
    """A bad experiment file and how it is checked.

    Words and variables stand in its first line, as a user would type them:
    `# FITX_X=1 fitx check file.yaml a.b=c`.
    """

    file: Path

    @property
    def words(self):
        return [word for word in self._command()[1] if word != "--"]

    @property
    def variables(self):
        return dict(word.split("=", 1) for word in self._command()[0])

    @property
    def expected(self):
        return self.file.with_suffix(".txt")

    def _command(self):
        first = self.file.read_text(encoding="utf-8").partition("\n")[0]
        if not first.startswith("# ") or "fitx check" not in first:
            return [], []
        typed = shlex.split(first[2:])
        start = typed.index("fitx")
        return typed[:start], typed[start + 3 :]


BAD = [Bad(file) for file in sorted(CORPUS.glob("*/*.yaml"))]


@pytest.fixture(scope="session")
def corpus():
    return BAD


@pytest.fixture
def refusal(monkeypatch):
    """Check an experiment in a folder; return the one error's text.

    Checking took no more than seconds of the processor and left the folder as it was.
    """

    def refused(folder, name, words=(), variables=None):
        for variable in [v for v in os.environ if v.startswith("FITX_")]:
            monkeypatch.delenv(variable)
        for variable, value in (variables or {}).items():
            monkeypatch.setenv(variable, value)
        monkeypatch.chdir(folder)
        before = sorted(Path().rglob("*"))
        started = time.process_time()
        with pytest.raises(ConfigError) as caught:
            read(name, words)
        assert time.process_time() - started < 10
        assert sorted(Path().rglob("*")) == before
        assert caught.value.exit_code == 2
        return str(caught.value)

    return refused


@pytest.fixture
def write(tmp_path):
    """Write a file below the test's folder."""

    def written(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return written


def pytest_generate_tests(metafunc):
    if "bad" in metafunc.fixturenames:
        ids = [f"{bad.file.parent.name}-{bad.file.stem}" for bad in BAD]
        metafunc.parametrize("bad", BAD, ids=ids)


@pytest.fixture
def python():
    """The command of this Python, for checks that need a fresh process."""
    return [sys.executable, "-P"]
