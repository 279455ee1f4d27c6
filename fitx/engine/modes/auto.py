"""The rule of `mode: auto`, by the step's operations, the number of steps and the kind of device.

The rule was read off `bench/grid.jsonl`, what `bench/grid.py` measured on two CPU cores with
TensorFlow 2.21: times of a step against those of `plain`, so less is better.

                              fused   xla   fused_xla
    dense 32, batch 32         0.20   1.08    0.06
    dense 2 x 256, batch 256   0.62   0.82    0.47
    dense 2 x 256, batch 2048  1.34   1.73    1.62
    dense 2 x 2048, batch 64   0.93   1.04    0.52
    conv 8, batch 8            0.51   1.08    0.73
    conv 32-64, batch 64       1.39   3.83   61.6
    lstm 32, batch 64          0.90   0.63    0.39
    attention 32, batch 64     0.78   0.79    0.56

Starting an operation costs TensorFlow about 3 us. A loop in the graph halves that cost, and XLA
removes it, since it makes few programs of many operations. For large products of matrices
TensorFlow's own kernels are faster, unless most of the time goes into reading the weights. XLA's
convolutions are slow on a CPU, and in a loop they run on one thread. Compiling takes a few
milliseconds for each operation, which about a thousand steps win back.
"""

from __future__ import annotations

from fitx.engine.modes.execution_modes import MODES, PLAIN, Mode
from fitx.engine.modes.operation_count import StepWork

FEWEST_STEPS = 1_000
"""Number of steps from which on compiling more than one step a call pays."""

SMALL_PRODUCT = 2e6
"""Multiplications and additions per operation up to which starting it costs more than they do."""

SMALL_CONVOLUTION = 3e6
"""The same for convolutions in a loop without XLA."""

LOW_INTENSITY = 400
"""Multiplications and additions per number up to which reading the numbers takes most time."""


def choose_mode(work: StepWork, steps: int, device_kind: str) -> tuple[Mode, str]:
    """Return the mode for a step, and the reason.

    Args:
        work: The operations and the arithmetic of one step.
        steps: Number of steps in all.
        device_kind: "cpu" or "gpu"; for GPUs the choice is Keras' own, and not calibrated.
    """
    if steps < FEWEST_STEPS:
        return PLAIN, f"{steps:,} steps are too few for compiling to pay off"
    if device_kind == "gpu":
        return MODES["xla"], "as Keras does on a GPU"
    started = f"{work.operations:,} operations a step"
    if work.convolutions:
        if work.convolutions / work.operations < SMALL_CONVOLUTION:
            return MODES["fused"], f"{started}, with small convolutions"
        return PLAIN, f"{started}, with large convolutions"
    if work.products / work.operations < SMALL_PRODUCT:
        return MODES["fused_xla"], f"{started}, which are small"
    if work.products < LOW_INTENSITY * work.numbers:
        return MODES["fused_xla"], f"{started}, on more numbers than they compute with"
    return PLAIN, f"{started}, which are large"


def is_practical(mode: Mode, work: StepWork, device_kind: str) -> bool:
    """Return whether a mode can be tried: XLA takes minutes for convolutions in a loop on a CPU."""
    return not (mode.fused and mode.xla and work.convolutions and device_kind == "cpu")
