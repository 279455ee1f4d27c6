"""Finds losses and metrics that cannot use the values of a network's last activation."""

from __future__ import annotations

from collections.abc import Iterator

from fitx.build.built import BuiltExperiment
from fitx.build.preflight import loss_groups
from fitx.build.preflight.last_layer import gives_negative_numbers
from fitx.build.preflight.network_outputs import network_outputs
from fitx.experiment.problems import Problem
from fitx.registry.kinds import Part


def problems(built: BuiltExperiment) -> Iterator[Problem]:
    """Yield the losses and the metrics that cannot use what a last activation gives."""
    for output in network_outputs(built):
        if output.activation is None:
            continue
        is_sparse = output.y.ndim <= len(output.shape) or output.y.shape[-1] == 1
        for path, part in output.parts.items():
            cls = loss_groups.class_of(part, output.width, is_sparse=is_sparse)
            text = _misuse(part, cls, output.activation)
            is_one = output.activation == "softmax" and output.width == 1 and part.kind == "loss"
            if text is None and is_one:
                text = f"gets softmax over one output, which is always 1; {_end_in('sigmoid')}."
            if text is not None:
                yield built.experiment.problem(path, f"{part.name} {text}")


def _misuse(part: Part, cls: str | None, activation: str) -> str | None:
    """Return why a loss or metric cannot use an activation's values, and the remedy."""
    ending = f"the network ends in {activation}"
    if loss_groups.takes_logits(part):
        if activation not in ("sigmoid", "softmax"):
            return None
        return f"is to take logits, but {ending}; {_end_in('linear')}, or remove from_logits."
    if cls == "Circle":
        advice = "end it in the layer unit_normalization"
        return f"takes vectors of length 1, but {ending}; {advice}."
    if not gives_negative_numbers(activation):
        return None
    if cls in loss_groups.PROBABILITIES:
        likely = "sigmoid" if cls in loss_groups.YES_OR_NO | loss_groups.OVERLAPS else "softmax"
        or_logits = ", or add from_logits: true" if cls in loss_groups.FROM_LOGITS else ""
        return f"takes probabilities, but {ending}; {_end_in(likely)}{or_logits}."
    if cls == "Poisson":
        return f"takes no negative predictions, but {ending}; {_end_in('softplus')}."
    return None


def _end_in(activation: str) -> str:
    return f"let it end in {activation} (`output_activation: {activation}` of a shipped model)"
