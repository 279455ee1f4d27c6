"""Runs that are ended again and again, by two chains of processes at a time."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from .chain import Chain

KINDS = {
    "plain": ("lasting", "execution.mode=plain"),
    "fused_xla": ("lasting", "execution.mode=fused_xla", "checkpoint.every=7 steps"),
    "half": (
        *("lasting", "execution.precision=mixed_float16"),
        "optimizer={name: sgd, learning_rate: 0.01, momentum: 0.9, gradient_accumulation_steps: 4}",
    ),
    "pair": ("pair",),
}


@pytest.fixture(scope="session")
def chain(fitx_command, environment, tmp_path_factory, times):
    """Make a chain of a kind of run, in a folder of its own."""

    def chain(kind="plain"):
        name, *words = KINDS[kind]
        words = ("train", f"{name}.yaml", "--resume", "auto", f"fit.epochs={times(7, 40)}", *words)
        return Chain(tmp_path_factory.mktemp("crash"), fitx_command, environment, words)

    return chain


@pytest.fixture(scope="session")
def crew():
    """Acts chains in the background, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture(scope="session")
def left_alone(chain, crew):
    """Return the run of a kind that nobody ended; there is one of each."""
    asked = {}

    def left_alone(kind):
        if kind not in asked:
            asked[kind] = crew.submit(lambda: chain(kind).finish())
        return asked[kind]

    return left_alone
