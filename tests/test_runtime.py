import os
import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.config import is_op_determinism_enabled

from fitx import runtime
from fitx.errors import DeviceError
from fitx.runtime.absence import explain
from fitx.runtime.machine import Facts, driver_version, gather

NO_DRIVER = "libcuda.so.1: cannot open shared object file: No such file or directory"

without_gpu = pytest.mark.skipif(
    bool(tf.config.list_physical_devices("GPU")), reason="this machine has a GPU"
)


@pytest.fixture(autouse=True)
def plain_settings():
    yield
    runtime.prepare(device="cpu", precision="float32", deterministic=False, seed=0)


def prepare(**changes):
    settings = {"device": "cpu", "precision": "float32", "deterministic": False, "seed": 7}
    return runtime.prepare(**{**settings, **changes})


def test_the_cpu_is_taken_when_asked_for():
    chosen = prepare()

    assert (chosen.device, chosen.kind, chosen.precision) == ("/CPU:0", "cpu", "float32")
    assert chosen.threads == runtime.threads() >= 1
    plural = "s" if chosen.threads != 1 else ""
    assert chosen.description == f"CPU ({chosen.threads} thread{plural}): as execution.device says"
    with tf.device(chosen.device):
        assert tf.constant(1.0).device.endswith("CPU:0")


@without_gpu
def test_auto_says_why_it_took_the_cpu():
    chosen = prepare(device="auto")
    cause = explain(gather(tf.sysconfig.get_build_info())).cause

    assert (chosen.device, chosen.kind) == ("/CPU:0", "cpu")
    assert chosen.description.endswith(f": TensorFlow sees no GPU ({cause})")


@without_gpu
def test_a_missing_gpu_is_an_error_with_the_reason_and_what_to_do():
    with pytest.raises(DeviceError) as error:
        prepare(device="gpu", precision="mixed_float16")
    assert error.value.exit_code == 4
    assert str(error.value) == (
        f"execution.device is 'gpu', but TensorFlow sees no GPU: {runtime.why_no_gpu()} "
        "execution.device=auto trains on the CPU; `fitx doctor` shows the whole picture."
    )
    assert keras.config.dtype_policy().name == "float32"


def test_precision_is_the_policy_of_new_layers():
    prepare(precision="mixed_bfloat16")
    assert keras.layers.Dense(1).compute_dtype == "bfloat16"
    prepare(precision="float32")
    assert keras.layers.Dense(1).compute_dtype == "float32"


def test_one_seed_makes_every_source_of_randomness_repeat():
    def draw():
        prepare(seed=42)
        noise = keras.ops.convert_to_numpy(keras.random.normal((3,)))
        return random.random(), np.random.rand(), float(tf.random.uniform(())), noise.tolist()

    assert draw() == draw()


def test_determinism_can_be_demanded_and_left_again_in_one_process():
    prepare(deterministic=True)
    assert is_op_determinism_enabled()
    prepare(deterministic=False)
    assert not is_op_determinism_enabled()


def test_threads_follow_tensorflows_variable(monkeypatch):
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    assert runtime.threads() == len(os.sched_getaffinity(0))
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    assert runtime.threads() == 3
    assert prepare().description == "CPU (3 threads): as execution.device says"
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    assert prepare().description == "CPU (1 thread): as execution.device says"
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "many")
    assert runtime.threads() == len(os.sched_getaffinity(0))


def test_onednn_is_known():
    assert isinstance(runtime.onednn(), bool)


def test_the_facts_are_those_of_this_machine(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    facts = gather({"is_cuda_build": True, "cuda_version": "12.5.1", "cudnn_version": "9"})

    assert (facts.system, facts.cuda, facts.visible) == (os.uname().sysname, "12.5.1", "-1")
    assert set(facts.closed_files) <= set(facts.device_files)
    assert bool(facts.libcuda_error) != bool(facts.driver_cuda)
    assert gather({"is_cuda_build": False}).cuda == ""


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19", "535.104.05"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Re", "580.65.06"),
        ("something new", "of unknown version"),
        ("", ""),
    ],
)
def test_the_drivers_version_is_read(text, version):
    assert driver_version(text) == version


REASONS = {
    "macos": (
        Facts(system="Darwin", cuda=""),
        "TensorFlow for macOS computes on the CPU only",
        "Use a Linux machine with an NVIDIA GPU",
    ),
    "windows": (
        Facts(system="Windows", cuda=""),
        "TensorFlow for Windows computes on the CPU only",
        "Use WSL 2, where TensorFlow for Linux sees the GPU",
    ),
    "cpu build": (
        Facts(cuda="", visible="-1"),
        "this TensorFlow is built for the CPU only",
        "Uninstall it and run `pip install 'fitx[gpu]'` (Linux, x86-64)",
    ),
    "no card": (
        Facts(card=False, kernel_driver="", device_files=(), libcuda_error=NO_DRIVER),
        "this machine has no NVIDIA GPU",
        "Use a machine that has one; a virtual machine must be given the GPU",
    ),
    "no card but a driver's library": (
        Facts(card=False, kernel_driver="", device_files=(), refusal="no device (CUDA error 100)"),
        "this machine has no NVIDIA GPU",
        "Use a machine that has one; a virtual machine must be given the GPU",
    ),
    "no driver": (
        Facts(kernel_driver="", device_files=(), libcuda_error=NO_DRIVER),
        "there is an NVIDIA GPU, but its driver is not loaded",
        "Install NVIDIA's driver, version 525 or newer, until `nvidia-smi` lists the GPU",
    ),
    "hidden by -1": (
        Facts(visible="-1", refusal="no CUDA-capable device is detected (CUDA error 100)"),
        "CUDA_VISIBLE_DEVICES='-1' hides every GPU",
        "Unset the variable, or set it to the numbers of the GPUs to use, such as 0",
    ),
    "hidden by nothing": (
        Facts(visible=""),
        "CUDA_VISIBLE_DEVICES='' hides every GPU",
        "Unset the variable, or set it to the numbers of the GPUs to use, such as 0",
    ),
    "container without device": (
        Facts(device_files=(), libcuda_error=NO_DRIVER),
        "the NVIDIA driver 580.65 is loaded, but there is no /dev/nvidia0 here",
        "In a container, start it with the GPU (Docker: --gpus all, Apptainer: --nv); "
        "under SLURM, ask for one (--gres=gpu:1); elsewhere, reinstall the driver",
    ),
    "container without library": (
        Facts(libcuda_error=NO_DRIVER),
        "the NVIDIA driver 580.65 is loaded, but libcuda.so.1 does not load here",
        "In a container, start it with the GPU (Docker: --gpus all, Apptainer: --nv); "
        "under SLURM, ask for one (--gres=gpu:1); elsewhere, reinstall the driver",
    ),
    "closed files": (
        Facts(closed_files=("/dev/nvidia0",), refusal="no device (CUDA error 100)"),
        "this user may not open /dev/nvidia0",
        "Join the group that `ls -l /dev/nvidia0` names, and log in again",
    ),
    "driver refuses": (
        Facts(refusal="system has unsupported display driver / cuda driver combination (803)"),
        "the NVIDIA driver refuses to start: "
        "system has unsupported display driver / cuda driver combination (803)",
        "`nvidia-smi` tells more; after an update of the driver, restart the machine",
    ),
    "a number that is not there": (
        Facts(visible="7", refusal="no CUDA-capable device is detected (CUDA error 100)"),
        "the NVIDIA driver refuses to start: no CUDA-capable device is detected "
        "(CUDA error 100) (CUDA_VISIBLE_DEVICES is '7')",
        "`nvidia-smi` tells more; after an update of the driver, restart the machine",
    ),
    "old driver": (
        Facts(driver_cuda="11.4", missing=("libcudnn.so.9",)),
        "the NVIDIA driver knows CUDA 11.4, and TensorFlow needs 12.5",
        "Install a newer driver, version 525 or later",
    ),
    "no cuda libraries": (
        Facts(missing=("libcublas.so.12", "libcudnn.so.9")),
        "CUDA libraries that TensorFlow needs are not installed: libcublas.so.12, libcudnn.so.9",
        "Run `pip install 'fitx[gpu]'`",
    ),
    "wsl without cuda libraries": (
        Facts(
            card=False,
            kernel_driver="of Windows",
            device_files=("/dev/dxg",),
            missing=("libcudnn.so.9",),
        ),
        "CUDA libraries that TensorFlow needs are not installed: libcudnn.so.9",
        "Run `pip install 'fitx[gpu]'`",
    ),
    "one of two files is closed": (
        Facts(device_files=("/dev/nvidia0", "/dev/nvidia1"), closed_files=("/dev/nvidia1",)),
        "the driver and the CUDA libraries are there, and TensorFlow did not take them",
        "Its own messages say why: `fitx doctor --verbose`",
    ),
    "nothing to be found": (
        Facts(visible="0,-1"),
        "the driver and the CUDA libraries are there, and TensorFlow did not take them",
        "Its own messages say why: `fitx doctor --verbose`",
    ),
}


@pytest.mark.parametrize("name", REASONS)
def test_the_first_thing_that_is_missing_is_the_reason(name):
    facts, cause, remedy = REASONS[name]
    absence = explain(facts)
    assert (absence.cause, absence.remedy) == (cause, remedy)
