"""A checked experiment, with everything that is needed to build and run it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fitx.experiment.after import NetworkSource
from fitx.experiment.checks.options import shared_options
from fitx.experiment.problems import ConfigError, Problem
from fitx.experiment.schema import Checkpoint, Execution, Fit
from fitx.experiment.yaml.load import Document
from fitx.experiment.yaml.tree import KeyPath
from fitx.registry.kinds import SHARED_OPTIMIZER, ZIP, Part
from fitx.registry.part_index import PartIndex
from fitx.registry.signature import NO_DEFAULT
from fitx.registry.step_facts import StepFacts

_WITH_DEFAULTS = ("step", "model", "dataset", "callback", "optimizer", "schedule", "loss")


class Reference(str):
    """`${env:NAME}` that was written without quotes, so that its value may be a number."""


@dataclass(frozen=True)
class Experiment:
    """A checked experiment: every name is known, and every option has the right type."""

    name: str
    seed: int
    step: Part
    networks: dict[str, Part]
    copies: dict[str, str]
    """The networks that start as copies, each with the name of the network it is a copy of."""
    optimizers: dict[str, Part]
    after: str | dict[str, str] | None
    loss: Any
    loss_weights: Any
    metrics: Any
    weighted_metrics: Any
    compile: dict[str, Any]
    """Arguments of the step's own `compile`, besides those of the keys above."""
    data: Part
    fit: Fit
    callbacks: list[Part]
    checkpoint: Checkpoint
    execution: Execution
    expect: dict[str, str]
    plugins: tuple[Path, ...]
    step_facts: StepFacts | None
    document: Document = field(repr=False)
    part_index: PartIndex = field(repr=False)
    sources: tuple[NetworkSource, ...] = ()
    """The runs that `after` names, once they are found; a resumed run does not need them."""
    is_smoke: bool = False
    """Only two steps are run, to try the experiment."""
    trained_as: Experiment | None = field(default=None, repr=False)
    """The experiment that trained the networks, if `use_step` has replaced its step; else None."""

    @property
    def trains(self) -> bool:
        """True if it has an optimizer, which a keras.Model class may also make itself."""
        signature = self.part_index.signature("step", self.step.name)
        makes_its_own = signature is not None and signature.is_model_class
        return bool(self.optimizers) or makes_its_own

    @property
    def datasets(self) -> dict[KeyPath, Part]:
        """The datasets by key: one, or the streams that are read side by side."""
        if self.data.name != ZIP:
            return {("data",): self.data}
        streams = self.data.options["streams"].items()
        return {("data", "streams", name): part for name, part in streams}

    def error(self, path: KeyPath, text: str) -> ConfigError:
        """Return the error for a problem of the key at `path`."""
        return ConfigError([self.problem(path, text)])

    def problem(self, path: KeyPath, text: str) -> Problem:
        """Return a problem of the key at `path`, or at `model` or `optimizer` if written so."""
        path = path_as_written(self.document, path)
        return Problem(self.document.place(path), path, text)

    @property
    def optimizers_by_key(self) -> dict[str, Any]:
        """The key `optimizer` with the one optimizer of all networks, or else `optimizers`."""
        shared = self.optimizers.get(SHARED_OPTIMIZER)
        return {"optimizers": self.optimizers} if shared is None else {"optimizer": shared}

    def as_mapping(self) -> dict[str, Any]:
        """Return the resolved experiment as YAML holds it, with defaults; keep `${env:...}`."""
        parts = {
            "step": self.step,
            "networks": self._networks_as_written(),
            **self.optimizers_by_key,
            "after": self.after,
            "loss": self.loss,
            "loss_weights": self.loss_weights,
            "metrics": self.metrics,
            "weighted_metrics": self.weighted_metrics,
            "compile": self.compile,
            "data": self.data,
        }
        values = {
            "version": 1,
            "name": self.name,
            "plugins": [str(path) for path in self.plugins],
            "seed": self.seed,
            **parts,
            "fit": self.fit.model_dump(),
            "callbacks": self.callbacks,
            "checkpoint": self.checkpoint.model_dump(),
            "execution": self.execution.model_dump(),
            "expect": self.expect,
        }
        plain = {key: self._as_yaml(value, (key,)) for key, value in values.items()}
        left_out_if_empty = ("plugins", "compile")
        return {k: v for k, v in plain.items() if k not in left_out_if_empty or v}

    def _networks_as_written(self) -> dict[str, Any]:
        """Return the networks with copies as such, and those of a list in their list."""
        written: dict[str, Any] = {}
        for name, part in self.networks.items():
            key, in_list, _ = name.partition("/")
            if in_list:
                written.setdefault(key, []).append(part)
            else:
                written[key] = {"copy_of": self.copies[key]} if key in self.copies else part
        return written

    def _as_yaml(self, value: Any, path: KeyPath) -> Any:
        """Convert parts to mappings, with the defaults of their signatures."""
        if isinstance(value, Part):
            options = {**self._defaults(value), **value.options}
            shown = {k: self._as_yaml(v, (*path, k)) for k, v in options.items()}
            return {"name": self._kept(value.name, self._name_path(path)), **shown}
        if isinstance(value, dict):
            return {key: self._as_yaml(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._as_yaml(item, (*path, index)) for index, item in enumerate(value)]
        return self._kept(value, path)

    def _defaults(self, part: Part) -> dict[str, Any]:
        signature = self.part_index.signature(part.kind, part.name)
        if part.kind not in _WITH_DEFAULTS or signature is None:
            return {}
        options = (*signature.options, *shared_options(part.kind, part.name))
        return {p.name: p.default for p in options if p.default is not NO_DEFAULT}

    def _name_path(self, path: KeyPath) -> KeyPath:
        """Return the path of the name of a part: that of its `name`, or of the part itself."""
        node = self.document.tree.at(path_as_written(self.document, path))
        return (*path, "name") if node is not None and isinstance(node.value, dict) else path

    def _kept(self, value: Any, path: KeyPath) -> Any:
        """Return a value, or its reference if it came from the environment."""
        node = self.document.tree.at(path_as_written(self.document, path))
        if node is None or node.raw is None:
            return str(value) if isinstance(value, Path) else value
        if isinstance(value, Path) and not os.path.isabs(os.path.expanduser(str(node.value))):
            # A relative path starts at the file in which it was written.
            return str(node.place.source.folder.resolve() / node.raw)
        return Reference(node.raw) if node.is_unquoted else node.raw


def path_as_written(document: Document, path: KeyPath) -> KeyPath:
    """Return the path at which a key is written: `model` for `networks.<name>`."""
    for many, one in (("networks", "model"), ("optimizers", "optimizer")):
        if path[:1] == (many,) and len(path) > 1 and document.tree.at((one,)) is not None:
            return (one, *path[2:])
    if path[:1] == ("networks",) and "/" in str(path[1:2]):
        name, _, index = str(path[1]).partition("/")
        return ("networks", name, int(index), *path[2:])
    return path
