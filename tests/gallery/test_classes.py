"""Classes as people have them train from YAML, in every mode; stopped runs resume to the bit."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from fitx import checkpoint
from fitx.cli.display import NoDisplay
from fitx.commands import test_step as step_tests
from fitx.commands.evaluate import EvaluationRequest, evaluate
from fitx.commands.resume import resume
from fitx.commands.test_step import StepTestRequest
from fitx.commands.train import train
from fitx.errors import Interrupted
from fitx.experiment.check import read
from fitx.rundir.saved_experiment import read_unimported
from fitx.training.resumption.resume_request import open_for_resume
from fitx.training.train_request import TrainRequest

STOP = 7
"""The step after which a run is stopped, the second of its second epoch."""

COMMON = """
plugins: [classes.py]
data: {name: npz, path: rows.npz, batch_size: 8}
fit: {epochs: 3}
"""
SLOW = "{name: adam, learning_rate: 0.01}"
MODEL = "model: {name: body, units: 4}"
CLASSES = {
    "LatentGAN": f"""
step: {{name: LatentGAN, latent_dim: 3}}
networks: {{discriminator: body, generator: {{name: body, inputs: 3, outputs: 6}}}}
compile:
  d_optimizer: {SLOW}
  g_optimizer: {{name: sgd, momentum: 0.5}}
  loss_fn: {{name: binary_crossentropy, from_logits: true}}
""",
    "Autoencoder": f"step: {{name: Autoencoder, width: 2}}\noptimizer: {SLOW}",
    "OwnLayers": f"step: OwnLayers\noptimizer: {SLOW}\nmetrics: [mae]",
    "Averaging": f"step: Averaging\n{MODEL}\noptimizer: {SLOW}\nloss: mse",
    "Distiller": f"""
step: Distiller
networks: {{student: body, teacher: {{name: body, units: 9}}}}
optimizer: {SLOW}
metrics: [mae]
compile: {{student_loss_fn: mse, distillation_loss_fn: huber, alpha: 0.3}}
""",
    "MeanTeacher": f"step: MeanTeacher\nnetworks: {{student: body}}\noptimizer: {SLOW}\nloss: mse",
    "Accumulating": f"step: Accumulating\n{MODEL}\noptimizer: {SLOW}\nloss: mse",
    "Queue": f"step: {{name: Queue, heads: 3}}\nnetworks: {{backbone: body}}\noptimizer: {SLOW}",
    # A rate above 1 is no mistake: only Keras' own `rate` is a share.
    "Second": """
step: {name: Second, rate: 2.0}
networks: {first: body, second: body}
optimizer: {name: adam, learning_rate: 0.01, use_ema: true, ema_momentum: 0.5}
loss: mse
""",
    "Ensemble": f"""
step: Ensemble
networks: {{members: [body, {{name: body, units: 2}}]}}
optimizer: {SLOW}
loss: mse
""",
    "Function": f"""
step: {{name: make_averaging, extra: 2}}
networks: {{backbone: body}}
optimizer: {SLOW}
loss: mse
""",
    "Resetting": f"step: Resetting\n{MODEL}\noptimizer: {SLOW}\nloss: mse\nmetrics: [mae]",
}
MODES = ("plain", "fused", "xla", "fused_xla")


class Left:
    """What a run left: its checkpoint, the values of its epochs and those of its end."""

    def __init__(self, folder):
        self.folder = folder.resolve()
        newest = checkpoint.newest(self.folder / "checkpoints")
        self.arrays = {name: array.tobytes() for name, array in newest.state.items()}
        lines = (self.folder / "metrics.jsonl").read_text().splitlines()
        self.epochs = [{**json.loads(line), "seconds": 0} for line in lines]
        values = json.loads((self.folder / "summary.json").read_text())["metrics"]
        self.tested = {k.removeprefix("test_"): v for k, v in values.items() if "test_" in k}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the classes and with rows whose last batches are short."""
    folder = tmp_path_factory.mktemp("classes")
    shutil.copy(Path(__file__).with_name("classes.py"), folder)
    generator = np.random.default_rng(0)
    arrays = {}
    for suffix, rows in (("", 37), ("_validation", 19), ("_test", 11)):
        x = generator.normal(size=(rows, 6)).astype("float32")
        arrays |= {f"x{suffix}": x, f"y{suffix}": x.sum(axis=1, keepdims=True)}
    np.savez(folder / "rows.npz", **arrays)
    return folder


def experiment(folder, name, mode, *words):
    file = folder / f"{name}-{mode}.yaml"
    file.write_text(f"{COMMON}{CLASSES[name]}\nexecution: {{mode: {mode}}}\n")
    return read(str(file), words)


def trained(folder, name, mode, out, *words, stop_after=None):
    request = TrainRequest(folder / out, stop_after=stop_after)
    try:
        train(experiment(folder, name, mode, *words), request, NoDisplay())
    except Interrupted:
        assert stop_after is not None
    return next((folder / out / f"{name}-{mode}").glob("2*"))


@pytest.fixture(scope="module")
def whole(folder):
    """What a run left that was not stopped; each is trained once."""
    runs = {}

    def whole(name, mode):
        if (name, mode) not in runs:
            runs[name, mode] = Left(trained(folder, name, mode, "whole"))
        return runs[name, mode]

    return whole


def modes(name):
    """Two modes, of which one is XLA's for every second class; all modes in `make soak`."""
    if os.environ.get("FITX_SOAK"):
        return MODES[1:]
    return ("fused_xla",) if list(CLASSES).index(name) % 2 else ("fused",)


CASES = [(name, mode) for name in CLASSES for mode in modes(name)]


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_every_mode_logs_the_same(whole, name, mode):
    plain, other = whole(name, "plain"), whole(name, mode)

    assert len(plain.epochs) == 3
    if "xla" not in mode:
        assert other.epochs == plain.epochs
        return
    for ours, theirs in zip(other.epochs, plain.epochs, strict=True):
        # XLA draws other random numbers.
        drawn = {"drawn": ours["drawn"]} if "drawn" in ours else {}
        assert ours == pytest.approx({**theirs, **drawn}, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_a_stopped_run_resumes_to_the_bit(folder, whole, name, mode):
    run = trained(folder, name, mode, "stopped", stop_after=STOP)

    with open_for_resume(run, (), allow_inexact=False) as request:
        resume(request, NoDisplay())

    left = Left(run)
    assert left.epochs == whole(name, mode).epochs
    assert left.arrays == whole(name, mode).arrays


def test_the_end_of_a_training_sets_averages_of_the_trained_weights_alone(folder, whole):
    untrained = trained(folder, "Second", "plain", "untrained", "fit.epochs=0")
    left = whole("Second", "plain")

    def weights(run, network):
        file = run / f"networks/{network}.keras"
        return {weight.tobytes() for weight in keras.models.load_model(file).get_weights()}

    assert weights(left.folder, "first") == weights(untrained, "first")
    averages = {value for name, value in left.arrays.items() if "average" in name}
    assert weights(left.folder, "second") == averages


def test_an_optimizer_that_nothing_uses_is_no_state(whole):
    names = {name.split("/")[1] for name in whole("LatentGAN", "plain").arrays if "/" in name}

    assert {"d_optimizer", "g_optimizer"} <= names
    assert "optimizer" not in names


@pytest.mark.parametrize("name", CLASSES)
def test_evaluate_gives_what_the_run_measured(whole, name):
    left = whole(name, "plain")

    result = evaluate(read_unimported(left.folder), EvaluationRequest(run=left.folder), NoDisplay())

    assert left.tested
    assert result.metrics == left.tested


SHARED = ("Autoencoder", "Distiller", "MeanTeacher")
"""Classes without random numbers, and without an optimizer in tf.cond: replicas cannot run it."""

TRAIN = """
import sys
from pathlib import Path
from fitx.cli.display import NoDisplay
from fitx.commands.test_step import StepTestRequest
from fitx.commands.train import train
from fitx.experiment.check import read
from fitx.training.train_request import TrainRequest

for file in sys.argv[1:]:
    words = ["execution={strategy: mirrored, virtual_devices: 2, device: cpu}"]
    train(read(file, words), TrainRequest(Path("shared")), NoDisplay())
"""


def test_two_devices_log_what_one_logs(folder, whole):
    plain = {name: whole(name, "plain") for name in SHARED}
    files = [f"{name}-plain.yaml" for name in SHARED]
    command = [sys.executable, "-c", TRAIN, *files]

    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)

    assert done.returncode == 0, done.stderr
    for name, left in plain.items():
        shared = Left(next((folder / "shared" / f"{name}-plain").glob("2*")))
        for ours, theirs in zip(shared.epochs, left.epochs, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5), name


@pytest.mark.parametrize("name", CLASSES if os.environ.get("FITX_SOAK") else ("MeanTeacher",))
def test_a_class_passes_the_test_of_a_step(folder, name):
    # Some of the classes subtract float32 from bfloat16.
    request = StepTestRequest(
        experiment(folder, name, "plain"), [], [], skipped=("precision", "devices", "resume")
    )

    assert not step_tests.test_step(request).failed
