"""`python -m fitx`, and words that stand for one thing or another."""

import subprocess
import sys


def test_python_runs_the_package_as_the_command(environment, tmp_path):
    words = [sys.executable, "-m", "fitx"]
    asked = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
    told = subprocess.run([*words, "check", "nothing"], **asked)
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith("nothing: there is no such file.")
    assert subprocess.run([*words, "--help"], **asked).stdout.startswith("Usage: fitx [OPTIONS]")


def test_a_shipped_name_is_told_apart_from_the_file_of_that_name(fitx, tmp_path):
    assert fitx(tmp_path, "copy", "digits").code == 0
    done = fitx(tmp_path, "check", "digits")
    assert (done.code, done.out) == (0, "digits: no problems.\n")
    expected = "digits is the shipped experiment; write digits.yaml for the file in this folder\n"
    assert done.err == expected
    assert fitx(tmp_path, "check", "digits.yaml").err == ""
