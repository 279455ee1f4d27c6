"""Several workers on this machine: their ports, their messages, their end."""

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
from threading import Thread
from types import FrameType

from fitx.external_settings import overridden_variables
from fitx.training.signals import STOPPING

from ._output import print_error

GRACE_SECONDS = 60.0
"""That the other workers have to end by themselves after one has failed."""

KILL_SECONDS = 10.0
"""That they have to end after they were told to."""

_Workers = list["subprocess.Popen[str]"]


def run(words: Sequence[str], count: int) -> int:
    """Run a command of fitx in several processes that know of each other.

    Args:
        words: The command.
        count: How many processes.

    Returns:
        The exit code of the first that failed; 0 if all succeeded.
    """
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(count)]
    workers = [_start(words, addresses, index) for index in range(count)]
    readers = [Thread(target=_pass_on, args=(n, w)) for n, w in enumerate(workers) if n]
    for reader in readers:
        reader.start()
    with _forwarding(workers):
        code = _wait(workers)
    for reader in readers:
        reader.join()
    return code


def _start(words: Sequence[str], addresses: list[str], index: int) -> subprocess.Popen[str]:
    task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    is_chief = index == 0
    return subprocess.Popen(
        # -P: no module is imported from the working folder.
        [sys.executable, "-P", "-m", f"{__package__}.main", *words],
        env={
            **os.environ,
            **overridden_variables,
            **_devices(index, len(addresses)),
            "TF_CONFIG": json.dumps(task),
        },
        stdout=sys.stdout if is_chief else subprocess.DEVNULL,
        stderr=None if is_chief else subprocess.PIPE,
        text=True,
        errors="replace",
        # A terminal's Ctrl-C reaches this process alone, which passes it on once.
        process_group=0,
    )


def _devices(index: int, count: int) -> dict[str, str]:
    """Return a worker's share of the GPUs, if the environment names enough of them."""
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    share = len(named) // count
    own = named[index * share : (index + 1) * share]
    return {"CUDA_VISIBLE_DEVICES": ",".join(own)} if share else {}


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _pass_on(index: int, worker: subprocess.Popen[str]) -> None:
    """Write what a worker says to standard error, each line after its number."""
    for line in worker.stderr or ():
        print_error(f"[worker {index}] {line.rstrip()}")


def _wait(workers: _Workers) -> int:
    """Wait for all; after a failure, end those that do not end by themselves."""
    first, failed_at = 0, None
    while None in [worker.poll() for worker in workers]:
        codes = [worker.returncode for worker in workers if worker.returncode]
        if codes and failed_at is None:
            first, failed_at = codes[0], time.monotonic()
        waited = time.monotonic() - failed_at if failed_at is not None else 0.0
        if waited > GRACE_SECONDS:
            is_last = waited > GRACE_SECONDS + KILL_SECONDS
            _signal(workers, signal.SIGKILL if is_last else signal.SIGTERM)
        time.sleep(0.05)
    first = first or next((worker.returncode for worker in workers if worker.returncode), 0)
    # A process that a signal killed has that signal's number, negative.
    return first if first >= 0 else 128 - first


@contextmanager
def _forwarding(workers: _Workers) -> Iterator[None]:
    """Pass the signals that ask to stop on to the workers, which know what to do."""

    def forward(number: int, frame: FrameType | None) -> None:
        _signal(workers, number)

    numbers = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, forward) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _signal(workers: _Workers, number: int) -> None:
    for worker in workers:
        with suppress(ProcessLookupError):
            worker.send_signal(number)
