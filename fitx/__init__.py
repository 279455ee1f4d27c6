"""Train Keras models with your own training algorithm, from a YAML file.

In a plugin: `from fitx import Step, steps`, then `@steps.register` on a subclass of Step; or
`from fitx import Split, datasets`, then `@datasets.register` on a function that returns splits.
"""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    # Importing TensorFlow costs seconds; `fitx --help` and `fitx check` do without it.
    if name == "Step":
        from fitx.step import Step

        return Step
    if name == "Split":
        from fitx.data.splits import Split

        return Split
    if name in ("steps", "models", "datasets", "callbacks"):
        return import_module(f"fitx.{name}")
    raise AttributeError(f"module 'fitx' has no attribute '{name}'")
