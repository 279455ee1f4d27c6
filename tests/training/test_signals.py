import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from fitx.training.signals import listening

LISTENER = """
import hashlib, sys, time
from fitx.training.signals import listening
with listening() as stop:
    print("listening", flush=True)
    {work}
print(f"asked by {{stop.name}}" if stop.number else "left alone", flush=True)
"""
WAITS = "time.sleep(1.5)"
COMPUTES_IN_C = "hashlib.pbkdf2_hmac('sha512', b'', b'', 200_000_000)"


TERMINATES_A_CHILD = """
    import multiprocessing
    context = multiprocessing.get_context("fork")
    child, other = (context.Process(target=time.sleep, args=(600,), daemon=True) for _ in "ab")
    child.start(), other.start(), child.terminate(), child.join(60)
    print(child.exitcode, stop.number, flush=True)
"""


@pytest.fixture
def start():
    """Start a process that listens while it works; it is gone when the test ends."""
    started = []

    def start(work, *before):
        command = [*before, sys.executable, "-c", LISTENER.format(work=work)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout.readline() == "listening\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_noted_and_the_process_goes_on(number):
    with listening() as stop:
        assert not stop.number
        signal.raise_signal(number)
        assert (stop.number, stop.name) == (number, number.name)


def test_the_first_signal_is_the_one_that_counts():
    with listening() as stop:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert stop.name == "SIGTERM"


def test_handlers_and_threads_are_as_before_once_the_block_ends():
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    threads = threading.active_count()
    with listening():
        assert threading.active_count() == threads + 1
    after = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert after == handlers
    assert threading.active_count() == threads
    wakeup = signal.set_wakeup_fd(-1)
    assert wakeup == -1


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with listening() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.number
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_the_main_thread_nothing_is_listened_to():
    heard = []

    def work():
        with listening() as stop:
            heard.append(stop.number)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert heard == [0]


def test_a_forked_child_is_ended_by_signals_and_its_parent_is_not_stopped_by_them(start):
    process = start(TERMINATES_A_CHILD.strip())
    # The other child lives until its parent ends, which does not wait for it.
    assert process.communicate(timeout=60)[0] == f"{-signal.SIGTERM} 0\nleft alone\n"
    assert process.returncode == 0


def test_the_same_signal_twice_at_once_is_one_request(start):
    process = start(WAITS)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.communicate()[0] == "asked by SIGTERM\n"
    assert process.returncode == 0


@pytest.mark.skipif(not os.path.exists("/usr/bin/timeout"), reason="needs GNU timeout")
def test_timeout_which_signals_a_process_and_its_group_asks_once():
    command = ["/usr/bin/timeout", "0.5", sys.executable, "-c", LISTENER.format(work=WAITS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "asked by SIGTERM"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_the_process_even_while_it_computes_outside_python(start, number):
    process = start(COMPUTES_IN_C)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.7)
    assert process.poll() is None
    for _ in range(30):
        process.send_signal(number)
        time.sleep(0.7)
        # The one before may have been heard late, on a busy machine, and this one as its echo.
        if process.poll() is not None:
            break
    assert process.wait(10) == 128 + number
