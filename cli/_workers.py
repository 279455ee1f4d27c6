"""Starts the worker processes of a cluster on this machine, and gives each process its role."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from types import FrameType
from typing import TYPE_CHECKING

from fitx.errors import FitxError
from fitx.external_settings import overridden_variables
from fitx.training.signals import STOPPING

from ._output import print_error

if TYPE_CHECKING:
    from fitx.experiment.experiment import Experiment

GRACE_SECONDS = 60.0
"""Seconds that the other workers have to end by themselves after one has failed."""

KILL_SECONDS = 10.0
"""Seconds that workers have to end after SIGTERM."""

_Workers = list["subprocess.Popen[str]"]


@dataclass(frozen=True)
class WorkerRole:
    """The role of this process among the workers of a command.

    Args:
        is_chief: Whether it is the first worker, or the only one. The chief alone writes the run
            folder and prints results.
        out: The folder of all runs; a temporary one unless it is the chief.
        quiet: Whether it shows no progress: on request, or because it is not the chief.
    """

    is_chief: bool
    out: Path
    quiet: bool

    def run_folder(self, run: Path) -> Path:
        """Return the folder to resume a run in: the run's own for the chief, else a copy."""
        from fitx.rundir.duplicate import duplicate

        return run if self.is_chief else duplicate(run, self.out)


@contextmanager
def worker_role(experiment: Experiment, out: Path, *, quiet: bool) -> Iterator[WorkerRole]:
    """Yield the role of this process; remove what it wrote afterwards unless it is the chief."""
    if experiment.execution.strategy != "multi_worker" or _is_chief():
        yield WorkerRole(is_chief=True, out=out, quiet=quiet)
        return
    with TemporaryDirectory(prefix="fitx-worker-") as folder:
        try:
            yield WorkerRole(is_chief=False, out=Path(folder), quiet=True)
        except FitxError as error:
            error.run = None
            raise


def _is_chief() -> bool:
    from fitx.runtime import cluster

    return cluster.read_cluster().is_chief


def run_workers(words: Sequence[str], count: int) -> int:
    """Run a fitx command in several processes that form a cluster.

    Args:
        words: The words of the command.
        count: The number of processes.

    Returns:
        The exit code of the first worker that failed; 0 if all succeeded.
    """
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(count)]
    workers = [_start_worker(words, addresses, index) for index in range(count)]
    readers = [Thread(target=_print_messages, args=(n, w)) for n, w in enumerate(workers) if n]
    for reader in readers:
        reader.start()
    with _forwarded_signals(workers):
        code = _wait(workers)
    for reader in readers:
        reader.join()
    return code


def _start_worker(words: Sequence[str], addresses: list[str], index: int) -> subprocess.Popen[str]:
    task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    is_chief = index == 0
    return subprocess.Popen(
        # -P: Python imports no module from the working folder.
        [sys.executable, "-P", "-m", f"{__package__}.main", *words],
        env={
            **os.environ,
            **overridden_variables,
            **_gpu_share(index, len(addresses)),
            "TF_CONFIG": json.dumps(task),
        },
        stdout=sys.stdout if is_chief else subprocess.DEVNULL,
        stderr=None if is_chief else subprocess.PIPE,
        text=True,
        errors="replace",
        # A terminal's Ctrl-C reaches this process alone, which forwards it once.
        process_group=0,
    )


def _gpu_share(index: int, count: int) -> dict[str, str]:
    """Return a worker's share of the GPUs, if the environment names enough of them."""
    gpus = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    share = len(gpus) // count
    worker_gpus = gpus[index * share : (index + 1) * share]
    return {"CUDA_VISIBLE_DEVICES": ",".join(worker_gpus)} if share else {}


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for bound in sockets:
            bound.bind(("127.0.0.1", 0))
        return [bound.getsockname()[1] for bound in sockets]
    finally:
        for bound in sockets:
            bound.close()


def _print_messages(index: int, worker: subprocess.Popen[str]) -> None:
    """Write a worker's standard error to this process's, its number before each line."""
    for line in worker.stderr or ():
        print_error(f"[worker {index}] {line.rstrip()}")


def _wait(workers: _Workers) -> int:
    """Wait for all workers; after a failure, end those that do not end by themselves."""
    first_code, failed_at = 0, None
    while None in [worker.poll() for worker in workers]:
        codes = [worker.returncode for worker in workers if worker.returncode]
        if codes and failed_at is None:
            first_code, failed_at = codes[0], time.monotonic()
        waited = time.monotonic() - failed_at if failed_at is not None else 0.0
        if waited > GRACE_SECONDS:
            is_last = waited > GRACE_SECONDS + KILL_SECONDS
            _signal_all(workers, signal.SIGKILL if is_last else signal.SIGTERM)
        time.sleep(0.05)
    first_code = first_code or next(
        (worker.returncode for worker in workers if worker.returncode), 0
    )
    # `returncode` of a process that a signal killed is the negative number of the signal.
    return first_code if first_code >= 0 else 128 - first_code


@contextmanager
def _forwarded_signals(workers: _Workers) -> Iterator[None]:
    """Forward the signals that stop a command to the workers, which handle them."""

    def forward(number: int, frame: FrameType | None) -> None:
        _signal_all(workers, number)

    numbers = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, forward) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _signal_all(workers: _Workers, number: int) -> None:
    for worker in workers:
        with suppress(ProcessLookupError):
            worker.send_signal(number)
