import os
import subprocess
import sys

import pytest

from fitx.external_settings import RECORDED
from fitx.rundir import run_environment


def git(folder, *words):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    command = ["git", *identity, "-C", str(folder), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path):
    git(tmp_path, "init")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-m", "first")
    return tmp_path


def test_the_environment_is_described_without_tensorflow():
    script = (
        "import sys; from fitx.rundir import run_environment as e; e.describe_environment()\n"
        "print('tensorflow' in sys.modules, 'numpy' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "False False\n"


def test_the_description_has_versions_command_line_and_machine(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    facts = run_environment.describe_environment()

    machine = {"python", "platform", "machine", "processor", "variables", "host", "cpus"}
    assert set(facts) == {*machine, "versions", "argv", "cwd"}
    assert set(facts["versions"]) == {"fitx", "tensorflow", "keras", "numpy"}
    assert facts["versions"]["keras"].startswith("3.15.")
    assert facts["argv"] == sys.argv
    assert facts["cwd"] == str(tmp_path)


def test_the_processor_is_what_linux_calls_it(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: A CPU @ 2 GHz\nmodel name\t: B\n")
    assert run_environment.processor(cpuinfo) == "A CPU @ 2 GHz"
    cpuinfo.write_text("processor\t: 0\nCPU part\t: 0xd0c\n")
    assert run_environment.processor(cpuinfo) is None
    assert run_environment.processor(tmp_path / "gone") is None


def test_variables_that_change_what_tensorflow_computes_are_kept(monkeypatch):
    for name in RECORDED:
        monkeypatch.delenv(name, raising=False)
    assert run_environment.describe_environment()["variables"] == {}
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert run_environment.describe_environment()["variables"] == {"TF_ENABLE_ONEDNN_OPTS": "0"}


def test_a_deleted_working_folder_is_no_error(monkeypatch, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert run_environment.describe_environment()["cwd"] is None


def test_a_clean_repository_tells_its_commit(repository):
    (repository / "untracked").write_text("")
    commit = git(repository, "rev-parse", "HEAD")
    assert run_environment.git(repository) == {"commit": commit, "dirty": False}


def test_a_changed_tracked_file_is_dirty(repository):
    (repository / "a").write_text("2")
    assert run_environment.git(repository)["dirty"] is True


def test_a_staged_file_is_dirty(repository):
    (repository / "b").write_text("2")
    git(repository, "add", "b")
    assert run_environment.git(repository)["dirty"] is True


def test_without_repository_commit_folder_or_git_there_is_none(tmp_path, monkeypatch):
    assert run_environment.git(tmp_path) is None
    git(tmp_path, "init")
    assert run_environment.git(tmp_path) is None
    assert run_environment.git(tmp_path / "gone") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run_environment.git(tmp_path) is None


def test_the_variables_of_a_git_hook_do_not_redirect_the_question(repository, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(repository / "elsewhere"))
    assert run_environment.git(repository) is not None


@pytest.mark.parametrize(
    "key", ["core.fsmonitor", "filter.x.clean", "filter.x.process", "filter.a=b.clean"]
)
def test_a_program_named_by_the_repository_is_not_run(repository, key):
    program = repository / "program"
    program.write_text(f"#!/bin/sh\ntouch {repository}/executed\n")
    program.chmod(0o700)
    driver = key.split(".")[1]
    (repository / ".git/info/attributes").write_text(f"* filter={driver}\n")
    git(repository, "config", key, str(program))
    git(repository, "config", f"filter.{driver}.required", "true")
    # Git looks into a file, by way of its filter, when the file's time is new.
    os.utime(repository / "a", (1, 1))
    found = run_environment.git(repository)
    assert not (repository / "executed").exists()
    assert found is None if "=" in key else found["dirty"] is False
    subprocess.run(["git", "-C", repository, "status"], capture_output=True)
    assert (repository / "executed").exists()


def test_nothing_is_fetched_that_the_repository_lacks(repository):
    program = repository / "program"
    program.write_text(f"#!/bin/sh\ntouch {repository}/executed\n")
    program.chmod(0o700)
    git(repository, "config", "remote.origin.url", f"ext::{program}")
    git(repository, "config", "remote.origin.promisor", "true")
    git(repository, "config", "extensions.partialclone", "origin")
    git(repository, "config", "protocol.ext.allow", "always")
    tree = git(repository, "rev-parse", "HEAD^{tree}")
    (repository / ".git/objects" / tree[:2] / tree[2:]).unlink()
    assert run_environment.git(repository) is None
    assert not (repository / "executed").exists()
    subprocess.run(["git", "-C", repository, "status"], capture_output=True)
    assert (repository / "executed").exists()


def test_a_git_that_hangs_is_given_up(tmp_path, monkeypatch):
    (tmp_path / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "git").chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(run_environment, "PATIENCE_SECONDS", 0.05)
    assert run_environment.git(tmp_path) is None
