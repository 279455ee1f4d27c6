"""The facts that a shipped step declares of itself, read from its source without importing it.

A plugin's step declares nothing: what it takes and logs is known once it is traced.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from fitx.registry.python_source import Found


@dataclass(frozen=True)
class StepFacts:
    """What a step takes of an experiment, and the names it logs.

    Args:
        uses: Which of the keys `loss` and `metrics` it uses.
        logs: The names it logs in training and in evaluation, the experiment's metrics aside.
    """

    uses: frozenset[str]
    logs: frozenset[str]


def read_facts(found: Found) -> StepFacts:
    """Return what a step's class declares as `USES` and `LOGS`.

    Raises:
        LookupError: The class declares none of the two, or not as a plain tuple.
    """
    return StepFacts(uses=_declared(found, "USES"), logs=_declared(found, "LOGS"))


def _declared(found: Found, name: str) -> frozenset[str]:
    for statement in found.node.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == name:
            return frozenset(ast.literal_eval(statement.value))
    raise LookupError(f"{found.module.path}: class {found.node.name} declares no {name}")
