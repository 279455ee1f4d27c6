import json
from pathlib import Path

import pytest
import yaml

from fitx import datasets

MISSED = ["train", "guide/simple", "expect={loss: '< 0'}"]


NOISY = '''
import ctypes
import os
import subprocess
import keras
from fitx import callbacks

os.write(1, b"said at import\\n")


@callbacks.register
class Noisy(keras.callbacks.Callback):
    """Writes to standard output in every way there is."""

    def on_train_end(self, logs=None):
        print("said by Python")
        subprocess.run(["echo", "said by a child"])
        # Held back until the process ends where standard output is no terminal.
        ctypes.CDLL(None).puts(b"said by C")
'''
EXPERIMENT = "extends: guide/simple\nname: noisy\nplugins: [noisy.py]\ncallbacks: [noisy]\n"
ASCII = {"PYTHONIOENCODING": "ascii"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("streams")


@pytest.fixture(scope="module")
def runs(folder, launch):
    """Run trainings whose streams are closed, shared, or limited to ASCII."""
    (folder / "noisy.py").write_text(NOISY)
    (folder / "größe.yaml").write_text(EXPERIMENT)
    return {
        "full": launch(folder, "train", "guide/simple", "name=full", shell='"$@" > /dev/full'),
        "left": launch(folder, *MISSED, "name=left", shell='"$@" | true'),
        "noisy": launch(folder, "train", "größe.yaml", "--json", "-q", "--out", "läufe"),
        "ascii": launch(
            folder, "train", "größe.yaml", "name=ascii", "-q", "--out", "läufe", env=ASCII
        ),
        "closed": launch(folder, "train", "guide/simple", "name=closed", shell='"$@" <&- >&- 2>&-'),
    }


def record(folder, name):
    return json.loads((folder / "runs" / name / "latest/run.json").read_text())


def test_a_result_that_cannot_be_written_is_exit_code_7_and_the_run_is_whole(runs, folder):
    done = runs["full"].result()
    assert done.code == 7
    assert done.err.endswith("\ncannot write to standard output: No space left on device\n")
    assert "Traceback" not in done.err
    assert record(folder, "full")["status"] == "finished"


def test_a_reader_that_has_left_changes_no_exit_code(runs, folder):
    done = runs["left"].result()
    assert done.code == 6
    assert "expected loss < 0, found" in done.err
    assert record(folder, "left")["status"] == "finished"


def test_json_stays_json_whatever_plugins_their_children_and_c_code_write(runs):
    done = runs["noisy"].result()
    assert done.code == 0
    assert done.json["run"].startswith("läufe/noisy/")
    heard = {line for line in done.err.splitlines() if line.startswith("said")}
    assert heard == {f"said {how}" for how in ("at import", "by Python", "by a child", "by C")}


def test_characters_that_a_stream_lacks_are_written_as_escapes(runs, folder, fitx):
    done = runs["ascii"].result()
    assert done.code == 0
    assert done.out.splitlines()[-1].startswith(r"run: l\xe4ufe/ascii/")
    missing = fitx(folder, "check", "größe.yml", env=ASCII)
    assert missing.code == 2
    assert missing.err.startswith(r"gr\xf6\xdfe.yml: there is no such file.")


def test_yaml_for_a_stream_that_lacks_characters_reads_back_the_same(fitx, folder):
    (folder / "äpfel.npz").write_bytes((Path(datasets.__file__).parent / "digits.npz").read_bytes())
    words = ("digits", "data={name: npz, path: äpfel.npz}", "--resolved")
    shown = [fitx(folder, "check", *words, env=v).out for v in (ASCII, {})]
    assert shown[0].isascii() and not shown[1].isascii()
    assert yaml.safe_load(shown[0]) == yaml.safe_load(shown[1])


def test_closed_streams_do_no_harm(runs, folder):
    done = runs["closed"].result()
    assert done.code == 0
    run = folder / "runs/closed/latest"
    assert record(folder, "closed")["status"] == "finished"
    assert set(json.loads((run / "run.lock").read_text())) == {"pid", "host", "since"}
    assert all(map(json.loads, (run / "metrics.jsonl").read_text().splitlines()))


@pytest.mark.parametrize(
    ("shell", "code"),
    [
        ('"$@" | head -1', 0),
        ('"$@" | true', 0),
        ('"$@" > /dev/full', 7),
        ('"$@" >&-', 0),
        ('"$@" 2>&-', 0),
        ('"$@" 2> /dev/full', 0),
    ],
)
def test_a_listing_survives_any_stream(fitx, folder, shell, code):
    done = fitx(folder, "list", "layer", shell=shell)
    assert done.code == code
    assert "Traceback" not in done.err


@pytest.mark.parametrize("shell", ['"$@" 2>&-', '"$@" 2> /dev/full', '"$@" >&- 2>&-'])
def test_an_error_that_cannot_be_shown_has_its_exit_code_all_the_same(fitx, folder, shell):
    assert fitx(folder, "train", "nothing", shell=shell).code == 2


def test_an_error_never_goes_to_standard_output(fitx, folder):
    done = fitx(folder, "train", "nothing", "--json", shell='"$@" 2>&-')
    assert done.json["code"] == 2


def test_an_error_as_json_that_cannot_be_written_keeps_its_exit_code(fitx, folder):
    done = fitx(folder, "train", "nothing", "--json", shell='"$@" > /dev/full')
    assert done.code == 2
    assert "there is no such file" in done.err
