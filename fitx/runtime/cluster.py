"""Reads the workers of a training on several machines from TF_CONFIG or SLURM."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from fitx import json_text
from fitx.compat.error_texts import lost_workers
from fitx.errors import DeviceError

_MOST_TASKS = 1024
_MOST_PORT = 65_535
_MOST_SHOWN = 80
_JOBS = ("chief", "worker")
_EXAMPLE = '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", '
_ADVICE = f"expected, for example, {_EXAMPLE}" + '"index": 0}}.'
_ELSE = "`fitx launch` starts workers here; execution.strategy=auto computes on one device."


@dataclass(frozen=True)
class Cluster:
    """All workers, and the index of this process among them.

    Attributes:
        workers: Their addresses; the first is the chief, which writes the run folder.
        index: The index of this process among them, from 0.
    """

    workers: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        """True for the worker that writes the run folder and shows progress."""
        return self.index == 0


def read_cluster(environment: MutableMapping[str, str] = os.environ) -> Cluster:
    """Read the cluster from TF_CONFIG; sets it from SLURM's variables if it is missing.

    Raises:
        DeviceError: Neither is set, or they do not describe a cluster.
    """
    if not environment.get("TF_CONFIG") and "SLURM_PROCID" in environment:
        environment["TF_CONFIG"] = json.dumps(_from_slurm())
    text = environment.get("TF_CONFIG")
    if not text:
        raise DeviceError(
            f"strategy multi_worker needs TF_CONFIG or SLURM's variables; {_ADVICE} {_ELSE}"
        )
    try:
        config = json_text.parse(text)
    except ValueError as error:
        raise DeviceError(f"TF_CONFIG is not JSON ({error}); {_ADVICE}") from error
    return _cluster(config)


def describe_lost_worker(error: BaseException) -> str | None:
    """Return a message for an error caused by the loss of a worker; None for other errors."""
    tasks = lost_workers(error)
    if tasks is None:
        return None
    who = tasks.pop() if len(tasks) == 1 else "another worker"
    return f"lost {who}: it died or cannot be reached, so this worker ends too."


def _cluster(config: Any) -> Cluster:
    jobs = config.get("cluster") if isinstance(config, Mapping) else None
    task = config.get("task") if isinstance(config, Mapping) else None
    if not isinstance(jobs, Mapping) or not isinstance(task, Mapping):
        raise DeviceError(f"TF_CONFIG has no 'cluster' or no 'task'; {_ADVICE}")
    others = [name for name in jobs if name not in _JOBS]
    if others or not jobs:
        jobs = f"a job {_short(others[0])}" if others else "no job"
        raise DeviceError(f"TF_CONFIG's cluster has {jobs}; it takes chief and worker. {_ADVICE}")
    for name, addresses in jobs.items():
        if not isinstance(addresses, list) or not all(_is_address(one) for one in addresses):
            raise DeviceError(f"TF_CONFIG's {name} is not a list of 'host:port'; {_ADVICE}")
    kind, index = task.get("type"), task.get("index")
    if not isinstance(kind, str) or kind not in jobs:
        raise DeviceError(
            f"TF_CONFIG's task has the type {_short(kind)}, which is not a job of the cluster."
        )
    count = len(jobs[kind])
    if type(index) is not int or not 0 <= index < count:
        most = f"0 to {count - 1}" if count > 1 else "0"
        raise DeviceError(
            f"TF_CONFIG's task has the index {_short(index)}; expected {most} for {kind}."
        )
    addresses = (*jobs.get("chief", ()), *jobs.get("worker", ()))
    if len(set(addresses)) < len(addresses):
        raise DeviceError(f"TF_CONFIG's cluster has an address twice; {_ADVICE}")
    before = len(jobs.get("chief", ())) if kind == "worker" else 0
    return Cluster(addresses, before + index)


def _is_address(value: Any) -> bool:
    match = re.fullmatch(r"\S+:(\d{1,5})", value) if isinstance(value, str) else None
    return match is not None and 0 < int(match[1]) <= _MOST_PORT


def _short(value: Any) -> str:
    return repr(value)[:_MOST_SHOWN]


def _from_slurm() -> dict[str, Any]:
    """Return the TF_CONFIG of the SLURM step that this process is a task of."""
    try:
        # The resolver allows at most one task per GPU; SLURM assigns the GPUs.
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            gpus_per_node=_MOST_TASKS, gpus_per_task=1, auto_set_gpu=False
        )
        jobs = resolver.cluster_spec().as_dict()
    except Exception as error:
        # TensorFlow's parser raises errors of any kind for malformed variables.
        text = "start the workers with srun, inside a job" if "SLURM" in str(error) else str(error)
        raise DeviceError(f"SLURM's variables describe no cluster: {text}.") from error
    return {"cluster": jobs, "task": {"type": resolver.task_type, "index": resolver.task_id}}
