"""The base class of steps, and the facts that a shipped step declares in its source.

Steps of plugins declare nothing: what they use and log is known once they are traced.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from fitx.registry import python_source
from fitx.registry.python_source import Definition

STEP_MODULE = "fitx.step"
"""Defines `Step`. The `**networks` of its constructor are the networks, not options; a subclass
names them by its positional parameters.
"""


@dataclass(frozen=True)
class StepFacts:
    """Keys of the experiment that a step uses, and names that it logs.

    Args:
        uses: `loss`, `metrics`, both or none.
        logs: Names logged in training and evaluation, in addition to the experiment's metrics.
    """

    uses: frozenset[str]
    logs: frozenset[str]


def is_step_base(definition: Definition) -> bool:
    """Return whether a class is `fitx.Step` itself."""
    return definition.module.path == python_source.file_of(STEP_MODULE)


def read_facts(definition: Definition) -> StepFacts:
    """Return what the class of a step declares as `USES` and `LOGS`.

    Raises:
        LookupError: The class lacks one of them, or it is not a literal tuple.
    """
    return StepFacts(uses=_declared(definition, "USES"), logs=_declared(definition, "LOGS"))


def _declared(definition: Definition, name: str) -> frozenset[str]:
    for statement in definition.node.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == name:
            return frozenset(ast.literal_eval(statement.value))
    raise LookupError(f"{definition.module.path}: class {definition.node.name} has no {name}")
