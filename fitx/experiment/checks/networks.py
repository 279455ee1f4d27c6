"""Checks networks and optimizers against the step, and resolves `model` and `optimizer`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fitx.experiment.problems import Findings, listed, nearest
from fitx.experiment.schema import Settings
from fitx.experiment.yaml.load import Document
from fitx.registry.kinds import SHARED_OPTIMIZER, CopyOf, Part
from fitx.registry.part_index import PartIndex
from fitx.registry.signature import Signature


def networks(settings: Settings, part_index: PartIndex) -> dict[str, Part]:
    """Return the networks by name; `model:` is the network of a step with one network.

    A copy has the part of the network that it is a copy of.
    """
    written = dict(_flat(settings.networks))
    if settings.model is not None:
        written = {_single_name(settings, part_index) or "model": settings.model}
    return {
        name: written[network.network] if isinstance(network, CopyOf) else network
        for name, network in written.items()
    }


def _flat(networks: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the networks by name; those of a list are called `critics/0`, `critics/1` and so on."""
    for name, network in networks.items():
        if isinstance(network, list):
            yield from ((f"{name}/{index}", part) for index, part in enumerate(network))
        else:
            yield name, network


def copies(settings: Settings) -> dict[str, str]:
    """Return the copies among the networks, each with the name of the network it is a copy of."""
    return {
        name: network.network
        for name, network in settings.networks.items()
        if isinstance(network, CopyOf)
    }


def optimizers(settings: Settings, part_index: PartIndex) -> dict[str, Part]:
    """Return the optimizers by network; `optimizer:` is that of the only network, or of all."""
    if settings.optimizer is None:
        return settings.optimizers
    return {_single_name(settings, part_index) or SHARED_OPTIMIZER: settings.optimizer}


def find_both_forms(document: Document) -> Findings:
    """Yield `networks` if there is also `model`, and `optimizers` if there is also `optimizer`."""
    for one, many in (("model", "networks"), ("optimizer", "optimizers")):
        if document.tree.at((one,)) is not None and document.tree.at((many,)) is not None:
            yield (many,), f"cannot be combined with '{one}'; write one of the two."


def find_network_problems(
    settings: Settings, signature: Signature, wrong_keys: set[str]
) -> Findings:
    """Yield networks and optimizers that the step does not have, and networks that are missing.

    Args:
        settings: The settings, without values that are wrong.
        signature: The signature of the step; its positional parameters are its networks.
        wrong_keys: Top-level keys that have a problem already.
    """
    names = [p.name for p in signature.positional]
    step = f"step '{signature.name}'"
    if len(names) > 1 and settings.model is not None:
        text = f"{step} has {len(names)} networks; write `networks:` with {listed(names)}."
        yield ("model",), text
    for name, network in settings.networks.items():
        if isinstance(network, list):
            yield ("networks", name), f"{step} takes one network here, not a list."
    unknown = list(_unknown(settings, names, step))
    yield from unknown
    # A network with a wrong name is not also reported as missing.
    is_reported = any(path[0] == "networks" for path, _ in unknown)
    if not is_reported and not wrong_keys & {"model", "networks"} and settings.model is None:
        yield from _missing(settings, signature)


def _single_name(settings: Settings, part_index: PartIndex) -> str | None:
    """Return the name of the network of a step that has one; None for a step with several."""
    signature = part_index.signature("step", settings.step.name) if settings.step else None
    names = [p.name for p in signature.positional] if signature else []
    return names[0] if len(names) == 1 else None


def _unknown(settings: Settings, names: list[str], step: str) -> Findings:
    for key, parts in (("networks", settings.networks), ("optimizers", settings.optimizers)):
        for name in parts:
            if name not in names:
                takes = f"it takes {listed(names)}.{nearest(name, names)}"
                yield (key, name), f"{step} has no network '{name}'; {takes}"


def find_initial_weight_problems(
    settings: Settings, part_index: PartIndex, wrong_keys: set[str]
) -> Findings:
    """Yield networks of `after` that do not exist, and copies of networks that are none.

    Args:
        settings: The settings, without values that are wrong.
        part_index: The parts that the experiment may name.
        wrong_keys: Top-level keys that have a problem already.
    """
    yield from _copies(settings, wrong_keys)
    names = list(settings.networks)
    if settings.model is not None:
        names = [_single_name(settings, part_index) or "model"]
    is_judged = not wrong_keys & {"networks", "model"}
    for name in settings.after if is_judged and isinstance(settings.after, dict) else ():
        if name not in names:
            text = f"no network is called '{name}'; expected {' or '.join(names)}."
            yield ("after", name), f"{text}{nearest(name, names)}"


def _copies(settings: Settings, wrong_keys: set[str]) -> Findings:
    """Yield copies of a network that does not exist or is a copy, and optimizers of copies."""
    copied = copies(settings)
    names = [name for name in settings.networks if name not in copied]
    for copy, name in copied.items():
        path = ("networks", copy, "copy_of")
        if name in copied:
            text = f"'{name}' is a copy too; write the name of a network that has a model."
            yield path, text
        elif name not in names and "networks" not in wrong_keys:
            text = f"no network is called '{name}'; expected {' or '.join(names) or 'another one'}."
            yield path, f"{text}{nearest(name, names)}"
        if copy in settings.optimizers:
            text = "a copy is not trained; remove this optimizer, or give the network a model."
            yield ("optimizers", copy), text


def _missing(settings: Settings, signature: Signature) -> Findings:
    step = f"step '{signature.name}'"
    required = [p.name for p in signature.positional if p.required]
    missing = [name for name in required if name not in settings.networks]
    optional = [p.name for p in signature.positional if not p.required]
    for name in settings.optimizers if settings.networks else ():
        if name in optional and name not in settings.networks:
            text = f"networks.{name} is missing; add it, or remove this optimizer."
            yield ("optimizers", name), text
    if missing and len(signature.positional) == 1:
        yield ("model",), f"missing; {step} needs a network, for example `model: mlp`."
    elif missing and not settings.networks:
        yield ("networks",), f"missing; {step} needs {listed(missing)}."
    for name in missing if settings.networks else ():
        yield ("networks",), f"the network '{name}' is missing; {step} needs it."
