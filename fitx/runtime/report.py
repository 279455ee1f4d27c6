"""Reports the devices and settings of TensorFlow on this machine, for `fitx doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from fitx import runtime
from fitx.compat.execution_flags import uses_onednn
from fitx.external_settings import keras_home


def runtime_report() -> dict[str, Any]:
    """Return the devices and settings as JSON values; `no_gpu` is None where there is a GPU."""
    chosen = runtime.prepare(device="auto", precision="float32", deterministic=False, seed=0)
    build = tf.sysconfig.get_build_info()
    return {
        "device": chosen.description,
        "devices": [_device(one) for one in tf.config.list_physical_devices()],
        "no_gpu": None if chosen.kind == "gpu" else runtime.why_no_gpu(),
        "built_for": {key: build.get(f"{key}_version") for key in ("cuda", "cudnn")},
        "threads": chosen.threads,
        "onednn": uses_onednn(),
        "datasets": str(Path(keras_home()).expanduser() / "datasets"),
    }


def _device(device: Any) -> dict[str, Any]:
    details = tf.config.experimental.get_device_details(device)
    name = device.name.removeprefix("/physical_device:")
    return {"name": name, "model": details.get("device_name")}
