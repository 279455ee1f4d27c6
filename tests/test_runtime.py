import os
import random
import subprocess
import sys
import tempfile
import traceback

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.config import is_op_determinism_enabled

from fitx import runtime
from fitx.errors import DeviceError
from fitx.runtime.devices import Device, describe_device, no_such_gpu
from fitx.runtime.machine import GpuRequirements, driver_version, inspect_machine
from fitx.runtime.missing_gpu import explain_absence

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
    cause = explain_absence(inspect_machine(tf.sysconfig.get_build_info())).cause

    assert (chosen.device, chosen.kind) == ("/CPU:0", "cpu")
    assert chosen.description.endswith(f": TensorFlow sees no GPU ({cause})")


@without_gpu
def test_a_missing_gpu_is_an_error_with_the_reason_and_what_to_do():
    with pytest.raises(DeviceError) as error:
        prepare(device="gpu", precision="mixed_float16")
    assert error.value.exit_code == 4
    assert str(error.value) == (
        f"execution.device is 'gpu', but TensorFlow sees no GPU: {runtime.why_no_gpu()} "
        "execution.device=auto trains on the CPU; `fitx doctor` shows the details."
    )
    assert keras.config.dtype_policy().name == "float32"


@without_gpu
def test_one_gpu_of_several_is_demanded_too():
    with pytest.raises(DeviceError) as error:
        prepare(device="gpu:1")
    assert str(error.value) == no_such_gpu("gpu:1", 0)
    assert str(error.value).startswith("execution.device is 'gpu:1', but TensorFlow sees no GPU: ")


def test_a_gpu_that_is_not_among_those_there_are_is_named_beside_them():
    there = "execution.device is 'gpu:3', but TensorFlow sees"
    assert no_such_gpu("gpu:3", 1) == f"{there} 1 GPU, gpu:0."
    assert no_such_gpu("gpu:3", 2) == f"{there} 2 GPUs, gpu:0 to gpu:1."


@pytest.mark.parametrize(
    ("device", "asked", "text"),
    [
        (
            Device("/GPU:0", "gpu", ("NVIDIA L4",)),
            "auto",
            "NVIDIA L4 (the only GPU; memory taken as needed, CPU with 8 threads): "
            "auto uses a GPU if there is one",
        ),
        (
            Device("/GPU:0", "gpu", ("NVIDIA L4", "NVIDIA T4"), 1),
            "gpu:1",
            "NVIDIA T4 (GPU 1 of 2, counted from 0; memory taken as needed, CPU with 8 threads): "
            "as execution.device says",
        ),
        (Device("/CPU:0", "cpu"), "cpu", "CPU (8 threads): as execution.device says"),
    ],
)
def test_one_line_says_what_computes_and_why(device, asked, text):
    assert describe_device(device, asked, "8 threads") == text


THREADS = """
import sys, time
import tensorflow as tf
from fitx import runtime
from fitx.errors import DeviceError

def prepare(threads):
    settings = {"precision": "float32", "deterministic": False, "seed": 0}
    return runtime.prepare(device="cpu", threads=threads, **settings)

def cores(function, matrix):
    function(matrix)
    wall, cpu = time.perf_counter(), time.process_time()
    function(matrix).numpy()
    return (time.process_time() - cpu) / (time.perf_counter() - wall)

first = prepare(1)
matrix = tf.random.uniform((1200, 1200))
product = lambda matrix: matrix @ matrix @ matrix
print(first.threads, first.description)
print(all(cores(tf.function(product, jit_compile=xla), matrix) < 1.4 for xla in (None, True)))
print(prepare(1).threads, prepare(None).threads)
try:
    prepare(2)
except DeviceError as error:
    print(error.exit_code, error)
"""


def test_threads_are_set_once_in_a_process_and_hold_for_xla_too():
    done = subprocess.run(
        [sys.executable, "-c", THREADS], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "1 CPU (1 thread, as execution.threads says): as execution.device says",
        "True",
        "1 1",
        "4 execution.threads is 2, but TensorFlow has started with 1 in this process and keeps "
        "them; start a new process.",
    ]


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


@pytest.mark.parametrize("name", ["TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"])
@pytest.mark.parametrize("number", ["-3", "100000"])
def test_a_variable_that_asks_for_impossible_threads_is_an_error(monkeypatch, name, number):
    monkeypatch.setenv(name, number)
    with pytest.raises(DeviceError, match=f"{name} is '{number}', expected 1 to 1024"):
        prepare()


def test_the_facts_are_those_of_this_machine(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    facts = inspect_machine({"is_cuda_build": True, "cuda_version": "12.5.1", "cudnn_version": "9"})

    assert (facts.system, facts.cuda, facts.visible) == (os.uname().sysname, "12.5.1", "-1")
    assert set(facts.closed_files) <= set(facts.device_files)
    assert bool(facts.libcuda_error) != bool(facts.driver_cuda)
    assert inspect_machine({"is_cuda_build": False}).cuda == ""


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
        GpuRequirements(system="Darwin", cuda=""),
        "TensorFlow for macOS computes on the CPU only",
        "Use a Linux machine with an NVIDIA GPU",
    ),
    "windows": (
        GpuRequirements(system="Windows", cuda=""),
        "TensorFlow for Windows computes on the CPU only",
        "Use WSL 2, where TensorFlow for Linux sees the GPU",
    ),
    "cpu build": (
        GpuRequirements(cuda="", visible="-1"),
        "this TensorFlow is built for the CPU only",
        "Uninstall it and run `pip install 'fitx[gpu]'` (Linux, x86-64)",
    ),
    "no card": (
        GpuRequirements(card=False, kernel_driver="", device_files=(), libcuda_error=NO_DRIVER),
        "this machine has no NVIDIA GPU",
        "Use a machine that has one; a virtual machine must be given the GPU",
    ),
    "no card but a driver's library": (
        GpuRequirements(
            card=False, kernel_driver="", device_files=(), refusal="no device (CUDA error 100)"
        ),
        "this machine has no NVIDIA GPU",
        "Use a machine that has one; a virtual machine must be given the GPU",
    ),
    "no driver": (
        GpuRequirements(kernel_driver="", device_files=(), libcuda_error=NO_DRIVER),
        "there is an NVIDIA GPU, but its driver is not loaded",
        "Install NVIDIA's driver, version 525 or newer, until `nvidia-smi` lists the GPU",
    ),
    "hidden by -1": (
        GpuRequirements(
            visible="-1", refusal="no CUDA-capable device is detected (CUDA error 100)"
        ),
        "CUDA_VISIBLE_DEVICES='-1' hides every GPU",
        "Unset the variable, or set it to the numbers of the GPUs to use, such as 0",
    ),
    "hidden by nothing": (
        GpuRequirements(visible=""),
        "CUDA_VISIBLE_DEVICES='' hides every GPU",
        "Unset the variable, or set it to the numbers of the GPUs to use, such as 0",
    ),
    "container without device": (
        GpuRequirements(device_files=(), libcuda_error=NO_DRIVER),
        "the NVIDIA driver 580.65 is loaded, but there is no /dev/nvidia0 here",
        "In a container, start it with the GPU (Docker: --gpus all, Apptainer: --nv); "
        "under SLURM, ask for one (--gres=gpu:1); elsewhere, reinstall the driver",
    ),
    "container without library": (
        GpuRequirements(libcuda_error=NO_DRIVER),
        "the NVIDIA driver 580.65 is loaded, but libcuda.so.1 does not load here",
        "In a container, start it with the GPU (Docker: --gpus all, Apptainer: --nv); "
        "under SLURM, ask for one (--gres=gpu:1); elsewhere, reinstall the driver",
    ),
    "closed files": (
        GpuRequirements(closed_files=("/dev/nvidia0",), refusal="no device (CUDA error 100)"),
        "this user may not open /dev/nvidia0",
        "Join the group that `ls -l /dev/nvidia0` names, and log in again",
    ),
    "driver refuses": (
        GpuRequirements(
            refusal="system has unsupported display driver / cuda driver combination (803)"
        ),
        "the NVIDIA driver refuses to start: "
        "system has unsupported display driver / cuda driver combination (803)",
        "`nvidia-smi` shows more; after an update of the driver, restart the machine",
    ),
    "a number that is not there": (
        GpuRequirements(visible="7", refusal="no CUDA-capable device is detected (CUDA error 100)"),
        "the NVIDIA driver refuses to start: no CUDA-capable device is detected "
        "(CUDA error 100) (CUDA_VISIBLE_DEVICES is '7')",
        "`nvidia-smi` shows more; after an update of the driver, restart the machine",
    ),
    "old driver": (
        GpuRequirements(driver_cuda="11.4", missing=("libcudnn.so.9",)),
        "the NVIDIA driver supports CUDA 11.4, and TensorFlow needs 12.5",
        "Install a newer driver, version 525 or later",
    ),
    "no cuda libraries": (
        GpuRequirements(missing=("libcublas.so.12", "libcudnn.so.9")),
        "CUDA libraries that TensorFlow needs are not installed: libcublas.so.12, libcudnn.so.9",
        "Run `pip install 'fitx[gpu]'`",
    ),
    "wsl without cuda libraries": (
        GpuRequirements(
            card=False,
            kernel_driver="of Windows",
            device_files=("/dev/dxg",),
            missing=("libcudnn.so.9",),
        ),
        "CUDA libraries that TensorFlow needs are not installed: libcudnn.so.9",
        "Run `pip install 'fitx[gpu]'`",
    ),
    "one of two files is closed": (
        GpuRequirements(
            device_files=("/dev/nvidia0", "/dev/nvidia1"), closed_files=("/dev/nvidia1",)
        ),
        "the driver and the CUDA libraries are there, and TensorFlow did not use them",
        "Read TensorFlow's own messages: `fitx doctor --verbose`",
    ),
    "nothing to be found": (
        GpuRequirements(visible="0,-1"),
        "the driver and the CUDA libraries are there, and TensorFlow did not use them",
        "Read TensorFlow's own messages: `fitx doctor --verbose`",
    ),
}


@pytest.mark.parametrize("name", REASONS)
def test_the_first_thing_that_is_missing_is_the_reason(name):
    facts, cause, remedy = REASONS[name]
    absence = explain_absence(facts)
    assert (absence.cause, absence.remedy) == (cause, remedy)


def test_code_that_tensorflow_generates_is_shown_in_tracebacks_and_is_in_no_file(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    prepare()

    @tf.function
    def squared(x):
        for _ in tf.range(3):
            x = tf.matmul(x, x)
        return x

    assert squared(tf.eye(2)).numpy().tolist() == [[1, 0], [0, 1]]
    with pytest.raises(ValueError, match=r"test_runtime\.py\", line \d+, in squared") as error:
        squared(tf.ones((2, 3)))
    frames = traceback.extract_tb(error.value.__traceback__)
    generated = [frame for frame in frames if "autograph" in frame.filename]
    assert "tf).matmul" in generated[-1].line
    assert not os.path.exists(generated[-1].filename)
    assert list(tmp_path.iterdir()) == []
