"""Sets a step that was built and traced to the state that a run measured with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fitx import checkpoint
from fitx.errors import StorageError, UsageError
from fitx.experiment.problems import listed
from fitx.rundir import record
from fitx.rundir.checkpoint_meta import parse_meta
from fitx.step import Step
from fitx.training.state.snapshot import BEST, FINAL, part
from fitx.training.state.variables import NETWORKS, State, assign, mismatches, model_variables


@dataclass(frozen=True)
class Restored:
    """What a step was set to.

    Args:
        checkpoint: Name of the checkpoint's folder.
        notes: What there is to say of it, a line each.
    """

    checkpoint: str
    notes: tuple[str, ...]


def restore(step: Step, run: Path, weights: str) -> Restored:
    """Set everything that an evaluation depends on to a run's newest whole checkpoint.

    The step is traced before, so that variables are known which only its graphs hold. All
    variables of its networks must be there. Of what else it uses, a variable that the run does not
    have, as another step or other options make it, stays as it was built, and a note names it.

    Args:
        step: What is measured.
        run: The run's folder.
        weights: "last" for the state that the run ended with, "best" for its best epoch's.

    Raises:
        StorageError: There is no whole checkpoint, or its networks are others.
        UsageError: The run keeps no best epoch.
    """
    newest = checkpoint.newest(run / "checkpoints", record.load(run)["id"], parse_meta)
    if newest is None:
        raise StorageError(f"{run} holds no checkpoint yet.")
    state = _measured(newest.state, run, weights)
    named = model_variables(step)
    own = tuple(f"{NETWORKS}{name}/" for name in step.networks)
    networks = {name: variable for name, variable in named.items() if name.startswith(NETWORKS)}
    assign(networks, {name: array for name, array in state.items() if name.startswith(own)})
    built = _restore_fitting({k: v for k, v in named.items() if k not in networks}, state)
    notes = [f"passed over: {text}" for text in newest.passed_over]
    if built:
        notes.append(f"not in the run, and measured as built: {listed(built)}")
    return Restored(newest.folder.name, tuple(notes))


def _restore_fitting(named: Mapping[str, object], state: State) -> list[str]:
    """Set the variables that a state fits; return the names of the others."""
    others = []
    for name, variable in named.items():
        one, array = {name: variable}, state.get(name)
        if array is None or mismatches(one, {name: array}):
            others.append(name)
        else:
            assign(one, {name: array})
    return others


def _measured(state: State, run: Path, weights: str) -> State:
    """Return a checkpoint's state with what was final, or best, in place of what training left."""
    best = part(state, BEST)
    if weights == "best" and not best:
        raise UsageError(f"{run} keeps no best epoch; train with checkpoint.monitor set.")
    return {**state, **(best if weights == "best" else part(state, FINAL))}
