"""The grid that calibrates `execution.mode: auto`: python bench/grid.py > bench/grid.jsonl

Steps of dense, convolutional, recurrent and attention networks, from small to large, timed in
every mode, each in a process of its own that is ended where a mode takes too long (XLA's
convolutions in a loop on a CPU do). Each row also holds the counts of
`fitx.engine.modes.operation_count`.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

MODES = ("plain", "fused", "xla", "fused_xla")
LONGEST = 60
"""Seconds that one mode of one step gets, TensorFlow's import and XLA's compilation included."""

CELLS = {
    "dense 32": ("dense", (32,), (8, 32, 256, 2048)),
    "dense 256": ("dense", (256, 256), (8, 32, 256, 2048)),
    "dense 2048": ("dense", (2048, 2048), (8, 64, 512)),
    "deep dense": ("dense", (64,) * 20, (32, 512)),
    "conv tiny": ("conv", (8,), (8, 64)),
    "conv": ("conv", (32, 64), (8, 64, 256)),
    "lstm": ("lstm", (32,), (8, 64, 512)),
    "lstm large": ("lstm", (256,), (64,)),
    "attention": ("attention", (32,), (8, 64, 256)),
    "attention large": ("attention", (256,), (32,)),
}


def main() -> None:
    """Print every cell as a line of JSON; with arguments, measure one."""
    if len(sys.argv) > 1:
        print(json.dumps(measured(*sys.argv[1:])), flush=True)
        return
    for name, (_, _, batches) in CELLS.items():
        for batch in batches:
            row: dict[str, Any] = {"network": name, "batch": batch}
            for mode in MODES:
                found = asked(name, batch, mode)
                row[mode] = found.pop("seconds")
                row |= {k: v for k, v in found.items() if v is not None}
            print(json.dumps(row), flush=True)


def asked(name: str, batch: int, mode: str) -> dict[str, Any]:
    """Measure one cell in a process of its own; None for the seconds where it took too long."""
    command = [sys.executable, __file__, name, str(batch), mode]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=True)
    except subprocess.TimeoutExpired:
        return {"seconds": None}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measured(name: str, batch_words: str, mode: str) -> dict[str, Any]:
    """Return the seconds of a step, and what was counted in it."""
    import tensorflow as tf

    from fitx.engine.loops.block_loop import BlockProgram
    from fitx.engine.modes.execution_modes import MODES as KNOWN
    from fitx.engine.modes.operation_count import count_work

    kind, sizes, _ = CELLS[name]
    batch, fused = int(batch_words), KNOWN[mode].fused
    step, data = made(kind, sizes, batch)
    steps = len(data[0])
    spec = tuple(tf.TensorSpec(column.shape[1:], column.dtype) for column in data)
    graph = step.execution.step_graphs["train"].graph(spec)
    program = BlockProgram(graph, KNOWN[mode])

    def run(number: int) -> float:
        began = time.perf_counter()
        if fused:
            int(program.full(data, tf.constant(0), tf.constant(number)))
        else:
            for index in range(number):
                at = program.full(data, tf.constant(index % steps), tf.constant(1))
            int(at)
        return (time.perf_counter() - began) / number

    run(1)
    number = max(1, min(steps, int(0.3 / run(1))))
    times = [run(number) for _ in range(5)]
    return {"seconds": statistics.median(times), **vars(count_work(graph, batch))}


def made(kind: str, sizes: tuple[int, ...], batch: int) -> tuple[Any, tuple[Any, ...]]:
    """Return a compiled step of a network of a kind, and a block of batches for it."""
    import keras
    import numpy as np

    from fitx.steps.supervised import Supervised

    layers, inputs = keras.layers, None
    if kind == "dense":
        inputs = x = keras.Input((sizes[0],))
        for size in sizes:
            x = layers.Dense(size, activation="relu")(x)
    elif kind == "conv":
        inputs = x = keras.Input((28, 28, 1))
        for size in sizes:
            x = layers.Conv2D(size, 3, activation="relu", padding="same")(x)
            x = layers.MaxPooling2D()(x)
        x = layers.Flatten()(x)
    elif kind == "lstm":
        inputs = keras.Input((20, 16))
        x = layers.LSTM(sizes[0])(inputs)
    else:
        inputs = keras.Input((32, sizes[0]))
        x = layers.MultiHeadAttention(4, sizes[0] // 4)(inputs, inputs)
        x = layers.LayerNormalization()(inputs + x)
        x = layers.Dense(4 * sizes[0], activation="relu")(x)
        x = layers.GlobalAveragePooling1D()(x)
    step = Supervised(keras.Model(inputs, layers.Dense(10)(x)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    step.compile({"model": keras.optimizers.Adam()}, loss=loss, metrics=["mae"][:0])
    shape = (batch, *inputs.shape[1:])
    count = int(max(1, min(100, 2e7 / np.prod(shape) / 4)))
    random = np.random.default_rng(0)
    x = random.random((count, *shape), dtype=np.float32)
    y = random.integers(0, 10, (count, batch), dtype=np.int32)
    return step, tuple(keras.ops.convert_to_tensor(column) for column in (x, y))


if __name__ == "__main__":
    main()
