"""The check that some steps on one batch lower its loss."""

from __future__ import annotations

from typing import Any

from fitx.checkpoint.state_names import OPTIMIZERS
from fitx.commands.test_step.finding import FAILED, NOT_CHECKED, OK, Verdict
from fitx.commands.test_step.probed_step import ProbedStep, Values, losses, not_finite
from fitx.training.state.variables import assign, capture

DESCENTS = (5, 10, 25)
"""Numbers of steps on one batch after each of which the loss is compared with the first one."""


def check_loss(probed: ProbedStep) -> Verdict:
    """Check that some steps on one batch lower its loss, for each optimizer.

    The loss is computed with the same random numbers each time. Optimizers that train against each
    other are judged one after the other, while what the others train stays as it is.
    """
    batch = next(probed.batches())
    probed.set_back()
    first = probed.values_of(batch)
    names = losses(first)
    wrong = not_finite(first)
    if wrong:
        return FAILED, f"{wrong} in the first step"
    if not names:
        return NOT_CHECKED, "no logged value has `loss` in its name"
    fallen, risen, unrelated = list[str](), list[str](), list[str]()
    for optimizer in probed.optimized:
        values, steps = _descended(probed, optimizer, batch, first, names)
        lower = [name for name in names if values[name] < first[name]]
        shown = ", ".join(f"{n} {first[n]:.4g} -> {values[n]:.4g}" for n in lower or names)
        by = f"{optimizer}: " if len(probed.optimized) > 1 else ""
        if by and all(values[name] == first[name] for name in names):
            unrelated.append(f"no logged loss depends on what {optimizer} trains")
        else:
            (fallen if lower else risen).append(f"{by}{shown} in {steps} steps on one batch")
    if risen:
        return FAILED, (
            f"the loss does not fall: {'; '.join(risen)}. Look at the sign of the loss, at the "
            "learning rate, and at the variables that the optimizer gets."
        )
    if not fallen:
        return NOT_CHECKED, "; ".join(unrelated)
    return OK, f"falls: {'; '.join([*fallen, *unrelated])}"


def _descended(
    probed: ProbedStep, optimizer: str, batch: Any, first: Values, names: list[str]
) -> tuple[dict[str, float], int]:
    """Return the values after as many steps of one optimizer as it takes to lower a loss."""
    probed.set_back()
    fixed = {n for n, v in probed.variables.items() if _belongs_to_others(probed, optimizer, n, v)}
    steps = 0
    for total in DESCENTS:
        for _ in range(steps, total):
            probed.values_of(batch)
            if fixed:
                probed.set_back(fixed)
        steps = total
        state = capture(probed.variables)
        # The positions of random generators, so that the step draws what the first one drew.
        probed.set_back({n for n, array in probed.start.items() if array.dtype.kind in "iu"})
        values = probed.values_of(batch)
        assign(probed.variables, state)
        if any(values[name] < first[name] for name in names):
            break
    return values, steps


def _belongs_to_others(probed: ProbedStep, optimizer: str, name: str, variable: Any) -> bool:
    """Return whether an optimizer other than this one trains or owns a variable."""
    others = [other for other in probed.optimized if other != optimizer]
    trained = {id(v) for other in others for v in probed.optimized[other]}
    return id(variable) in trained or name.startswith(tuple(f"{OPTIMIZERS}{o}/" for o in others))
