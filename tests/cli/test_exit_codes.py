import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

RAISES = '''
import tensorflow as tf
from fitx import Step, steps


@steps.register
class Raises(Step):
    """Raises."""

    def train_step(self, data):
        return self.halved(data)

    def halved(self, data):
        raise KeyError("of the user")
'''
NAMES = ("user", "nan", "images", "gpu", "diverged", "missed", "full")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codes")
    (folder / "raises.py").write_text(RAISES)
    for name, lines in {
        "user": "plugins: [raises.py]\nstep: raises\nmodel: linear\noptimizer: adam\n"
        "data: {name: random, rows: 64, features: 4}",
        "bad": "step: supervised\nmodel: linear\noptimizer: adam\nloss: mse\n"
        "data: {name: npz, path: bad.npz}",
        "wide": "step: supervised\nmodel: {name: mlp, units: [100, 100]}\noptimizer: adam\n"
        "loss: mse\ndata: {name: random, rows: 64, features: 400}\n"
        "fit: {epochs: 50}\ncheckpoint: {every: epoch, keep: 9}",
    }.items():
        (folder / f"{name}.yaml").write_text(lines)
    x = np.zeros((8, 2), "float32")
    x[3, 1] = np.nan
    np.savez(folder / "bad.npz", x=x, y=np.zeros(7, "float32"), x_test=x[:0], y_test=x[:0, 0])
    return folder


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    """Return a folder limited to 2 MiB; None if that is impossible, and files are limited."""
    disk = tmp_path_factory.mktemp("disk")
    options = ["-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    try:
        subprocess.run(["mount", *options], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        yield None
        return
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture(scope="module")
def runs(folder, launch, here, small_disk):
    """Run every command that imports TensorFlow, once; some of them in this process."""
    simple = ["train", "guide/simple"]
    nowhere = {"KERAS_HOME": str(folder / "keras"), "https_proxy": "http://127.0.0.1:9"}
    (folder / "keras").mkdir()
    full = ["train", "wide.yaml", "--out", small_disk or "full"]
    launched = {
        "images": launch(folder, "train", "guide/gan", "data.name=mnist", env=nowhere),
        "gpu": launch(folder, *simple, "execution.device=gpu", "--json"),
        "diverged": launch(
            folder, *simple, "optimizer={name: sgd, learning_rate: 1e30}", "--json", "-q"
        ),
        "full": launch(folder, *full, preexec_fn=None if small_disk else _small_files),
    }
    return {
        "user": here(folder, "train", "user.yaml"),
        "nan": here(folder, "train", "bad.yaml", "--json"),
        "missed": here(folder, *simple, "expect={loss: '< 0', mae: '< 1'}", "--json"),
        **{name: future.result() for name, future in launched.items()},
    }


def _small_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, 1 << 18))


def only_run(out):
    (run,) = (path for path in Path(out).glob("*/2*"))
    return run


def record(run):
    return json.loads((run / "run.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_no_failure_shows_a_traceback_or_a_control_character(runs, name):
    done = runs[name]
    text = done.err + done.out
    assert "Traceback" not in text
    assert "Exception ignored" not in text
    assert "fitx/" not in text.replace(" --out", "")
    assert not [c for c in text if not c.isprintable() and c != "\n"]


def test_1_what_a_users_step_raises_is_shown_with_the_users_own_frames(runs, folder):
    done = runs["user"]
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        '  File "raises.py", line 11, in train_step\n'
        "    return self.halved(data)\n"
        '  File "raises.py", line 14, in halved\n'
        '    raise KeyError("of the user")\n'
        "train_step on the train split: KeyError: 'of the user'\n"
    )


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["trian", "digits"], "no command 'trian'. Did you mean 'train'?"),
        (["train"], "Missing argument 'FILE'."),
        (["train", "digits", "--smok"], "--smok"),
        (["train", "digts"], "Did you mean 'digits'?"),
        (["train", "digits", "fit.epoch=3"], "Did you mean 'epochs'?"),
        (["evaluate", "nothing"], "Nor is there an experiment: nothing: there is no such file."),
        (["evaluate", "digits", "--step", "supervisd"], "Did you mean 'supervised'?"),
        (
            ["train", "guide/evaluation"],
            "`fitx evaluate guide/evaluation` evaluates the networks as they are.",
        ),
    ],
)
def test_2_words_that_lead_nowhere(fitx, tmp_path, words, text):
    done = fitx(tmp_path, *words, "--json")
    assert done.code == done.json["code"] == 2
    assert text in done.json["error"]
    assert text in done.err
    assert "Traceback" not in done.err
    assert not list(tmp_path.iterdir())


def test_3_every_problem_of_the_data_is_named_at_once(runs, folder):
    done = runs["nan"]
    assert (done.code, done.json["code"]) == (3, 3)
    assert done.json["run"] is None
    assert done.err == done.json["error"] + "\n"
    for text in ("NaN", "x has 8, y has 7", "test.x has no rows", "bad.npz'"):
        assert text in done.err


def test_3_images_without_network_and_cache_say_what_to_fetch(runs, folder):
    done = runs["images"]
    assert (done.code, done.out) == (3, "")
    assert f"mnist.npz is not in {folder}/keras/datasets, and downloading failed" in done.err
    assert "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz" in done.err


def test_4_a_gpu_that_is_demanded_and_not_there(runs):
    done = runs["gpu"]
    assert (done.code, done.json["code"]) == (4, 4)
    assert done.json["error"].startswith("execution.device is 'gpu', but TensorFlow sees no GPU: ")


def test_5_a_run_that_diverged_keeps_what_it_logged(runs, folder):
    done = runs["diverged"]
    assert (done.code, done.json["code"]) == (5, 5)
    assert done.json["error"].startswith("diverged: loss is ")
    run = folder / done.json["run"]
    assert record(run)["status"] == "diverged"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1]
    assert lines[0]["loss"] in ("nan", "inf")
    # -q silences progress; what went wrong is said.
    assert done.err == f"{done.json['error']}\nrun: {done.json['run']}\n"


def test_6_a_run_that_missed_what_was_expected_is_whole(runs, folder):
    done = runs["missed"]
    assert (done.code, done.json["code"]) == (6, 6)
    assert done.json["error"].startswith("expected loss < 0, found 0.")
    assert [(e["name"], e["met"]) for e in done.json["expect"]] == [("loss", False), ("mae", True)]
    assert done.err.endswith(f"{done.json['error']}\n")
    run = folder / done.json["run"]
    assert record(run)["status"] == "finished"
    assert json.loads((run / "summary.json").read_text())["metrics"] == done.json["metrics"]
    assert (run / "networks/model.keras").is_file()


def test_7_a_disk_that_fills_keeps_the_checkpoints_before(runs, folder, small_disk):
    done = runs["full"]
    run = only_run(small_disk or folder / "full")
    reason = "No space left on device" if small_disk else "File too large"
    assert (done.code, done.out) == (7, "")
    told, where = done.err.splitlines()[-2:]
    assert told.startswith("cannot write ")
    assert reason in told
    assert where.startswith("run: ")
    from fitx import checkpoint

    newest = checkpoint.newest(run / "checkpoints")
    facts = record(run)
    assert facts["status"] == "failed"
    assert facts["last"] == (newest.folder.name if newest else None)
    if small_disk:
        assert newest is not None
    assert not list(run.rglob(".tmp-*"))


def test_7_a_place_that_is_a_file(fitx, tmp_path):
    (tmp_path / "out").touch()
    done = fitx(tmp_path, "train", "digits", "--out", "out", env=_no_tensorflow(tmp_path))
    assert done.code == 7
    assert done.err == (
        f"cannot write runs to out: {tmp_path}/out is not a folder. "
        "Choose another folder with --out.\n"
    )


def test_7_a_place_that_is_not_writable(fitx, tmp_path):
    out = tmp_path / "out"
    out.mkdir(mode=0o555)
    if os.access(out, os.W_OK):
        mount = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(out)]
        if not shutil.which("mount") or subprocess.run(mount, check=False).returncode:
            pytest.skip("the superuser can write everywhere, and no disk can be mounted")
    try:
        done = fitx(tmp_path, "train", "digits", "--out", "out", env=_no_tensorflow(tmp_path))
    finally:
        if os.path.ismount(out):
            subprocess.run(["umount", str(out)], check=True)
    assert done.code == 7
    assert f"cannot write runs to out: {out} is not writable." in done.err


def _no_tensorflow(folder):
    """Make imports of TensorFlow fail: early refusals do not need it."""
    (folder / "poison").mkdir()
    (folder / "poison/tensorflow.py").write_text("raise SystemExit('imported')")
    return {"PYTHONPATH": f"{folder}/poison:{os.environ.get('PYTHONPATH', '')}"}


HOLDER = """
import sys
from pathlib import Path
from fitx.rundir.lock import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
SECOND = """
import sys
from pathlib import Path
import fitx.cli.main as main
from fitx.rundir.lock import hold
sys.argv = ["fitx", "train", "--json"]
def work(**options):
    with hold(Path({run!r})):
        pass
main.group.main = work
main.main()
"""


def test_8_a_run_folder_that_another_process_writes_to(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as holder:
        assert holder.stdout.readline() == "held\n"
        second = [sys.executable, "-c", SECOND.format(run=str(tmp_path))]
        done = subprocess.run(second, capture_output=True, text=True, check=False)
        holder.communicate("")
    assert done.returncode == json.loads(done.stdout)["code"] == 8
    assert f"{tmp_path} is in use by process {holder.pid} on " in done.stderr
