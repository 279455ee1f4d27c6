import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fitx import checkpoint
from fitx.cli.display import NoDisplay
from fitx.errors import DeviceError
from fitx.experiment.check import read
from fitx.rundir import record
from fitx.runtime import cluster

from .conftest import difference

FITX = (sys.executable, "-m", "fitx.cli.main")
LONG = ("guide/low_level", "fit.epochs=100000", "execution.strategy=multi_worker")


def started(words, folder, **more):
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", **more}
    return subprocess.Popen(
        [*FITX, *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_an_epoch(process):
    said = [process.stderr.readline()]
    while "epoch 1/" not in said[-1]:
        said.append(process.stderr.readline())
        assert said[-1], said


def weights(run):
    state = checkpoint.newest(run / "checkpoints").state
    kept = ("networks/", "optimizers/", "step/", "metrics/")
    # What metrics gathered is summed over the workers when it is logged.
    return {k: v for k, v in state.items() if k.startswith(kept) and "seed" not in k}


def test_launched_workers_started_again_train_to_what_one_process_does(folder, tmp_path):
    from fitx.commands.train import train
    from fitx.training.train_request import TrainRequest

    words = ("launch", "--workers", "2", "gan.yaml", "--json", "--out", str(tmp_path / "two"))
    _, said = started((*words, "fit.epochs=1"), folder).communicate(timeout=240)
    assert "[worker 1]" not in said
    (run,) = (tmp_path / "two" / "gan").glob("2*")
    launched = started((*words, "--resume", str(run)), folder)
    experiment = read(str(folder / "gan.yaml"), ("execution.mode=plain",))
    one = train(experiment, TrainRequest(tmp_path / "one"), NoDisplay())
    output, said = launched.communicate(timeout=240)
    assert launched.returncode == 0, said
    two = json.loads(output)
    assert difference(weights(Path.cwd() / one.run), weights(run)) < 1e-5
    assert two["metrics"] == pytest.approx(one.metrics, rel=1e-5)
    kept = record.load(run)
    assert (kept["strategy"], kept["replicas"]) == ("multi_worker", 2)
    assert kept["resumed"][0]["changes"] == ["fit.epochs: 1 -> 2"]
    assert "[worker 1]" not in said


def test_a_worker_that_dies_ends_the_others_with_one_line_and_exit_code_4(tmp_path):
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in (one, other)]
    tasks = [
        {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": i}} for i in (0, 1)
    ]
    workers = [started(("train", *LONG), tmp_path, TF_CONFIG=json.dumps(t)) for t in tasks]
    try:
        wait_for_an_epoch(workers[0])
        workers[1].kill()
        began = time.monotonic()
        _, said = workers[0].communicate(timeout=240)
        workers[1].communicate()
    finally:
        for worker in workers:
            worker.kill()
    assert workers[0].returncode == DeviceError.exit_code, said
    assert time.monotonic() - began < 240
    told = [line for line in said.splitlines() if not line.startswith(("epoch", "run:"))]
    (line,) = told[-1:]
    why = "it died or cannot be reached, so this worker ends too."
    assert line in (f"lost worker 1: {why}", f"lost another worker: {why}")
    (run,) = (tmp_path / "runs" / "low_level").glob("2*")
    assert record.load(run)["status"] == "failed"


def test_a_signal_to_launch_stops_all_workers_with_a_checkpoint(tmp_path):
    launched = started(("launch", "--workers", "2", *LONG), tmp_path)
    try:
        wait_for_an_epoch(launched)
        launched.send_signal(signal.SIGTERM)
        _, said = launched.communicate(timeout=60)
    finally:
        launched.kill()
    assert launched.returncode == 143
    assert re.search(r"^stopped by SIGTERM after step \d+; checkpoint \d+ is whole\.$", said, re.M)
    assert "[worker 1] stopped by SIGTERM." in said.splitlines()


TWO = {"worker": ["a:1", "b:2"]}


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (
            "",
            "strategy multi_worker needs TF_CONFIG or SLURM's variables; expected, for example, {",
        ),
        ("{", "TF_CONFIG is not JSON ("),
        ("[" * 100_000, "TF_CONFIG is not JSON (it is nested deeper than 200 levels)"),
        ("[1]", "TF_CONFIG has no 'cluster' or no 'task'; expected, for example,"),
        (json.dumps({"cluster": TWO}), "TF_CONFIG has no 'cluster' or no 'task'"),
        (json.dumps({"cluster": {}, "task": {}}), "has no job; it takes chief and worker."),
        (
            json.dumps({"cluster": {**TWO, "ps": ["c:3"]}, "task": {}}),
            "TF_CONFIG's cluster has a job 'ps'; it takes chief and worker.",
        ),
        (
            json.dumps({"cluster": {"worker": ["a"]}, "task": {}}),
            "TF_CONFIG's worker is not a list of 'host:port';",
        ),
        (
            json.dumps({"cluster": TWO, "task": {"type": "chief", "index": 0}}),
            "TF_CONFIG's task has the type 'chief', which is not a job of the cluster.",
        ),
        (
            json.dumps({"cluster": TWO, "task": {"type": "worker", "index": 2}}),
            "TF_CONFIG's task has the index 2; expected 0 to 1 for worker.",
        ),
        (
            json.dumps({"cluster": TWO, "task": {"type": "worker", "index": True}}),
            "TF_CONFIG's task has the index True; expected 0 to 1 for worker.",
        ),
        (
            json.dumps({"cluster": TWO, "task": {"type": ["worker"] * 1000, "index": 0}}),
            "TF_CONFIG's task has the type ['worker', 'worker', ",
        ),
        (
            json.dumps({"cluster": {"worker": ["a:1", "b:65536"]}, "task": {}}),
            "TF_CONFIG's worker is not a list of 'host:port';",
        ),
        (
            json.dumps(
                {"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}
            ),
            "TF_CONFIG's cluster has an address twice;",
        ),
    ],
)
def test_a_cluster_that_makes_no_sense_is_named(config, text):
    with pytest.raises(DeviceError, match=re.escape(text)):
        cluster.read_cluster({"TF_CONFIG": config})


def test_workers_are_counted_from_the_chief():
    jobs = {"chief": ["a:1"], "worker": ["b:2", "c:3"]}
    config = {"cluster": jobs, "task": {"type": "worker", "index": 1}}
    found = cluster.read_cluster({"TF_CONFIG": json.dumps(config)})
    assert found == cluster.Cluster(("a:1", "b:2", "c:3"), 2)
    assert not found.is_chief


def test_slurm_says_who_the_workers_are(monkeypatch):
    step = {"PROCID": "1", "STEP_NODELIST": "n[1-2]", "STEP_TASKS_PER_NODE": "1(x2)"}
    for name, value in {**step, "STEP_NUM_TASKS": "2", "LOCALID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("TF_CONFIG", "")
    assert cluster.read_cluster(os.environ) == cluster.Cluster(("n1:8888", "n2:8888"), 1)


def test_slurm_without_a_step_is_an_error_that_says_what_to_do(monkeypatch):
    monkeypatch.setenv("SLURM_PROCID", "0")
    monkeypatch.setenv("TF_CONFIG", "")
    text = "SLURM's variables describe no cluster: start the workers with srun, inside a job."
    with pytest.raises(DeviceError, match=re.escape(text)):
        cluster.read_cluster(os.environ)
