"""Environment settings that change results: those that fitx overrides and those it records.

fitx overrides settings that change the meaning of a training: its length, its number types, its
backend; only the experiment defines these. It records settings of the arithmetic on the given
hardware (XLA's options, oneDNN, TF32, cuDNN's algorithms) in run.json, and compares them on resume.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OVERRIDDEN = (
    # Keras: its backend; limits of every fit; features of its backend for JAX.
    *("KERAS_BACKEND", "KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "KERAS_NNX_ENABLED"),
    # TensorFlow: Keras 2 as `tf.keras`; XLA for every `tf.function`; checks of its own rewriting.
    *("TF_USE_LEGACY_KERAS", "TF_FUNCTION_JIT_COMPILE_DEFAULT", "TF_JIT_COMPILE_REWRITE"),
    *("TF_FORWARD_COMPATIBILITY_DELTA_DAYS", "AUTOGRAPH_STRICT_CONVERSION"),
    # Set by `execution.deterministic`.
    *("TF_DETERMINISTIC_OPS", "TF_CUDNN_DETERMINISTIC", "TF_DISABLE_SCATTER_OP_DETERMINISM"),
    "TF_DISABLE_SEGMENT_REDUCTION_OP_DETERMINISM_EXCEPTIONS",
    # Convolutions would keep using the weights of the first step.
    "TF_ONEDNN_ASSUME_FROZEN_WEIGHTS",
)
"""Variables that are removed from the environment before Keras and TensorFlow are imported."""

RECORDED = (
    *("TF_XLA_FLAGS", "XLA_FLAGS", "NVIDIA_TF32_OVERRIDE", "CUBLAS_WORKSPACE_CONFIG"),
    *("TF_ENABLE_ONEDNN_OPTS", "TF_ENABLE_ONEDNN_SPMM", "TF_ENABLE_ZENDNN_OPTS"),
    *("TF_SET_ONEDNN_FPMATH_MODE", "ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE"),
    *("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "NPY_DISABLE_CPU_FEATURES"),
    *("TENSORFLOW_USE_CUSTOM_CONTRACTION_KERNEL", "TF_USE_DEEP_CONV2D", "TF_DISABLE_JIT_KERNELS"),
    *("TF_CUDNN_USE_AUTOTUNE", "TF_CUDNN_RNN_USE_AUTOTUNE", "TF_CUDNN_USE_RUNTIME_FUSION"),
    *("TF_CUDNN_DISABLE_CONV_1X1_OPTIMIZATION", "TF_CUDNN_WORKSPACE_LIMIT_IN_MB"),
    *("TF_USE_CUDNN_BATCHNORM_SPATIAL_PERSISTENT", "TF_USE_DEFAULT_CONV_ALGO"),
    *("TF_DEBUG_CUDNN_RNN", "TF_DEBUG_CUDNN_RNN_ALGO", "TF_DEBUG_CUDNN_RNN_USE_TENSOR_OPS"),
    *("TF_ENABLE_WINOGRAD_NONFUSED", "TF_ENABLE_FFT_TILING_FORWARD", "TF_ENABLE_MAXPOOL_NANPROP"),
    *("TF_USE_CUBLASLT", "TF_CUBLAS_WORKSPACE_LIMIT_IN_MB", "TF_MATMUL_AUTOTUNE_ENABLE"),
    *("TF_MATMUL_AUTOTUNE_MAX_ALGORITHMS", "TF_USE_DETERMINISTIC_SEGMENT_REDUCTIONS"),
    *("TF_FP16_CONV_USE_FP32_COMPUTE", "TF_FP16_MATMUL_USE_FP32_COMPUTE"),
    *("TF_FP16_RNN_USE_FP32_COMPUTE", "TF_CONV2D_USE_FP16_ACCUMULATE"),
)
"""Variables by which a user chooses how TensorFlow, oneDNN, cuDNN and NumPy compute."""

BACKEND = "tensorflow"
KERAS_DEFAULTS = {
    "floatx": "float32",
    "epsilon": 1e-7,
    "backend": BACKEND,
    "image_data_format": "channels_last",
    "nnx_enabled": False,
}
"""The settings that Keras reads from its file, with the values used in fitx."""

_MOST_BYTES = 1 << 16
_VERBOSITY = "AUTOGRAPH_VERBOSITY"

overridden_variables: dict[str, str] = {}
"""The variables that `override` removed from this process's environment."""


def override() -> None:
    """Remove the variables of `OVERRIDDEN` from the environment, before Keras is imported."""
    for name in OVERRIDDEN:
        value = os.environ.pop(name, "")
        if value and (name, value) != ("KERAS_BACKEND", BACKEND):
            overridden_variables[name] = value
    os.environ["KERAS_BACKEND"] = BACKEND
    if not os.environ.get(_VERBOSITY, "0").isdecimal():
        # TensorFlow would raise ValueError for each function that it traces.
        overridden_variables[_VERBOSITY] = os.environ.pop(_VERBOSITY)


def notes() -> tuple[str, ...]:
    """Return a note for each variable that `override` removed."""
    return tuple(
        f"{name}={value} in the environment is ignored: the experiment defines this setting"
        for name, value in overridden_variables.items()
    )


def overridden_keras_settings() -> tuple[str, ...]:
    """Return the ignored settings of Keras' settings file, such as `epsilon=0.5 in /x/keras.json`.

    A file that cannot be read, or is not a JSON object, has none.
    """
    file = Path(keras_home()).expanduser() / "keras.json"
    return tuple(f"{name}={json.dumps(value)} in {file}" for name, value in _differing(file))


def keras_home() -> str:
    """Return the folder in which Keras stores its settings and data sets."""
    if "KERAS_HOME" in os.environ:
        return os.environ["KERAS_HOME"]
    home = os.path.expanduser("~")
    return os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")


def _differing(file: Path) -> Iterator[tuple[str, Any]]:
    if not file.is_file():
        return
    try:
        with file.open("rb") as stream:
            settings = json.loads(stream.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return
    if isinstance(settings, dict):
        for name, default in KERAS_DEFAULTS.items():
            if name in settings and settings[name] != default:
                yield name, settings[name]
