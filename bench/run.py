"""Print every figure of fitx beside what it is compared to: python bench/run.py [ROUNDS]

Both sides of a ratio run in turn, each in a process of its own. PyTorch's programs run where
torch and lightning can be imported by the interpreter that TORCH_PYTHON names.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from programs import HERE, MEGABYTE, Times, in_turn, whole

FITX = str(Path(sys.executable).parent / "fitx")
TORCH = os.environ.get("TORCH_PYTHON", sys.executable)
ROWS = "32000"
"""Examples of the guide's programs, in batches of 32."""

STEPS_OF_DIGITS = 21
"""In an epoch."""

STOPPING = "callbacks=[{name: early_stopping, monitor: val_loss, patience: 1000}]"


def main() -> None:
    """Measure everything, and print a row of each as it is known."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print("| what | fitx | compared to | ratio | target |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for figures in (starting, simple, others, digits, gan, networks, saving, resuming):
            for row in figures(rounds):
                print(row, flush=True)


def starting(rounds: int) -> Iterator[str]:
    """Yield the time of commands and of whole processes, and the memory of these."""
    for words in (["--help"], ["check", "guide/gan"]):
        [command] = whole({"fitx": [FITX, *words]}, rounds)
        yield row(f"`fitx {' '.join(words)}`", spelled(command.median), "", "", "")
    for name, script in (("guide/simple", "keras_script.py"), ("digits", "keras_digits.py")):
        commands = {"fitx": [FITX, "train", name, "-q"], "script": peer(script)}
        ours, theirs = whole(commands, rounds)
        what = f"`fitx train {name}`, whole process"
        yield share(what, ours, theirs, "hand-written Keras", "at most 1.0 of it")
        yield memory(what, ours, theirs, "hand-written Keras")


def simple(rounds: int) -> Iterator[str]:
    """Yield what a step of guide/simple takes, beside all who can do the same."""
    commands = {
        "fitx": own("fit", "guide/simple", f"data.rows={ROWS}"),
        "stock `fit`": peer("keras_simple.py", "simple", ROWS),
        "bare XLA loop": peer("xla_limit.py", ROWS),
        **({"PyTorch loop": peer("torch_simple.py", ROWS, python=TORCH)} if has("torch") else {}),
        **(
            {"LightningCLI's Trainer": peer("lightning_simple.py", ROWS, python=TORCH)}
            if has("lightning")
            else {}
        ),
    }
    ours, stock, limit, *torches = in_turn(commands, rounds)
    what = "a step of `guide/simple`, 32,000 examples"
    yield times(what, ours, stock, "at least 80", steps=1000)
    yield share(what, ours, limit, limit.name, "at most 4 times it", steps=1000)
    for torch in torches:
        yield times(what, ours, torch, "", steps=1000)
    yield memory(what, ours, stock, stock.name)


def others(rounds: int) -> Iterator[str]:
    """Yield the guide's other programs of the same size."""
    for name in ("low_level", "weighted"):
        commands = {
            "fitx": own("fit", f"guide/{name}", f"data.rows={ROWS}"),
            "stock `fit`": peer("keras_simple.py", name, ROWS),
        }
        ours, stock = in_turn(commands, rounds)
        yield times(f"a step of `guide/{name}`", ours, stock, "at least 60", steps=1000)
    commands = {
        "fitx": own("evaluate", "guide/simple", f"data.rows={ROWS}"),
        "stock `evaluate`": peer("keras_simple.py", "evaluate", ROWS),
    }
    ours, stock = in_turn(commands, rounds)
    yield times("a step of its evaluation", ours, stock, "at least 40", steps=1000)


def digits(rounds: int) -> Iterator[str]:
    """Yield what an epoch of digits takes with everything on."""
    words = ["model=mlp", "execution.mode=fused_xla", "fit.epochs=42", STOPPING]
    commands = {
        "fitx": own("train", "digits", *words),
        "stock `fit`": peer("keras_digits.py", "mlp"),
    }
    ours, stock = in_turn(commands, rounds)
    what = "an epoch of `digits` (mlp), validation and callbacks on"
    yield times(what, ours, stock, "at least 5")


def gan(rounds: int) -> Iterator[str]:
    """Yield what a step of the guide's GAN takes."""
    words = ["data.batch_size=64", "fit.steps_per_epoch=2", "~callbacks", "execution.mode=measure"]
    commands = {
        "fitx": own("fit", "guide/gan", *words),
        "stock `fit`": peer("keras_gan.py"),
    }
    ours, stock = in_turn(commands, rounds)
    stock.seconds = [2 * seconds for seconds in stock.seconds]
    what = "a step of the guide's GAN, batches of 64, `mode: measure`"
    yield times(what, ours, stock, "at least 1.8", steps=2)


def networks(rounds: int) -> Iterator[str]:
    """Yield networks whose arithmetic counts, in `auto`."""
    lstm, transformer = (str(HERE / "networks" / f"{n}.yaml") for n in ("lstm", "transformer"))
    for name, file in (("convnet", "digits"), ("LSTM", lstm), ("transformer", transformer)):
        words = [file, "~checkpoint", "~expect"] if file == "digits" else [file]
        commands = {"fitx": own("fit", *words), "stock `fit`": own("stock", *words)}
        ours, stock = in_turn(commands, rounds)
        what = f"an epoch of digits with a small {name}, `mode: auto`"
        yield times(what, ours, stock, "at least 0.97")


def saving(rounds: int) -> Iterator[str]:
    """Yield what checkpoints cost, of epochs of milliseconds and of 100 MB of state."""
    short = ["digits", "model=mlp", "execution.mode=fused_xla", "fit.epochs=300"]
    large = ["digits", "model={name: mlp, units: [2048, 2048, 2048]}", "~expect"]
    large += ["checkpoint.monitor=null"]
    never = "checkpoint.every=900000000 steps"
    cases = {"`digits` (mlp)": [*short, "~expect"], "100 MB of state": [*large, "fit.epochs=30"]}
    for what, words in cases.items():
        commands = {
            "fitx": own("mean", *words, "checkpoint.every=auto"),
            "without": own("mean", *words, never),
        }
        ours, without = in_turn(commands, rounds)
        told = f"an epoch of {what}, `checkpoint.every: auto`"
        yield share(told, ours, without, "without checkpoints", "at most 1.03 of it")
    every = ["fit.epochs=12", f"checkpoint.every={2 * STEPS_OF_DIGITS} steps"]
    [stall] = in_turn({"fitx": own("stall", *large, *every)}, rounds)
    held = "the training is held up by a checkpoint of 100 MB, its copy aside"
    yield row(held, spelled(stall.median), "", "", "at most 50 ms")


def resuming(rounds: int) -> Iterator[str]:
    """Yield how soon a run takes its first step, begun or gone on with."""
    for epochs in (1, 3000):
        words = ["guide/simple", "execution.mode=fused", "-q", "--out", f"runs-{epochs}"]
        done = 32 * epochs - 7
        longer = [*words, "fit.epochs=100000"]
        subprocess.run([FITX, "train", *longer, "--stop-after", str(done)], check=False)
        [run] = Path(f"runs-{epochs}").glob("simple/2*")
        resume = f"rm -rf copy; cp -r {run} copy; {FITX} resume copy -q --stop-after {done + 1}"
        begin = shlex.join([FITX, "train", *longer, "--stop-after", "1"])
        commands = {
            name: ["sh", "-c", f"{command}; test $? = 143"]
            for name, command in {"fitx": resume, "begun": begin}.items()
        }
        again, begun = whole(commands, rounds)
        what = f"`fitx resume` after {done:,} steps, to its first step, whole process"
        yield share(what, again, begun, "a new run to its first step", "at most 1.15 of it")


def own(*words: str) -> list[str]:
    """Return the command of fitx' own side."""
    return [sys.executable, str(HERE / "ours.py"), *words]


def peer(file: str, *words: str, python: str = sys.executable) -> list[str]:
    """Return the command of a program to compare with."""
    return [python, str(HERE / "peers" / file), *words]


def has(module: str) -> bool:
    """Return whether PyTorch's interpreter can import a module."""
    command = [TORCH, "-c", f"import {module}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def times(what: str, ours: Times, theirs: Times, target: str, steps: int = 1) -> str:
    """Return the row of something that is to be faster by a factor."""
    numbers = (spelled(side.median / steps) for side in (ours, theirs))
    mine, other = numbers
    ratio = f"{ours.ratio(theirs):.2f} times as fast"
    return row(what, mine, f"{theirs.name}: {other}", ratio, target)


def share(what: str, ours: Times, theirs: Times, name: str, target: str, steps: int = 1) -> str:
    """Return the row of something that is to take no more than a share of another's time."""
    mine, other = (spelled(side.median / steps) for side in (ours, theirs))
    return row(what, mine, f"{name}: {other}", f"{theirs.ratio(ours):.2f} of it", target)


def memory(what: str, ours: Times, theirs: Times, name: str) -> str:
    """Return the row of the memory that two programs held at most."""
    mine, other = (f"{side.peak / MEGABYTE:.0f} MB" for side in (ours, theirs))
    ratio = f"{ours.peak / theirs.peak:.2f} of it"
    return row(f"peak memory: {what}", mine, f"{name}: {other}", ratio, "at most 1.1 of it")


def row(*cells: str) -> str:
    """Return a row of the table."""
    return f"| {' | '.join(cells)} |"


def spelled(seconds: float) -> str:
    """Spell a time with three digits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"


if __name__ == "__main__":
    main()
