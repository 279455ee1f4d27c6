"""Checks that the parts of an experiment agree with its step and with each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fitx.experiment.checks.callback_files import find_file_conflicts
from fitx.experiment.checks.class_arguments import find_argument_problems, find_needless_compile
from fitx.experiment.checks.conflicts import find_execution_conflicts, find_optimizer_conflicts
from fitx.experiment.checks.monitored_values import find_monitor_problems
from fitx.experiment.checks.networks import (
    find_both_forms,
    find_initial_weight_problems,
    find_network_problems,
)
from fitx.experiment.checks.schedules import find_schedule_problems
from fitx.experiment.checks.streams import find_stream_problems
from fitx.experiment.output_parts import parts_by_key
from fitx.experiment.problems import Findings, Problem, listed
from fitx.experiment.schema import Settings
from fitx.experiment.yaml.load import Document
from fitx.experiment.yaml.tree import KeyPath
from fitx.registry.part_index import PartIndex
from fitx.registry.step_facts import StepFacts


def find_inconsistencies(
    settings: Settings,
    document: Document,
    part_index: PartIndex,
    wrong_keys: set[str],
    *,
    own_step: bool = True,
) -> list[Problem]:
    """Return the problems of keys that do not agree with each other.

    Args:
        settings: The settings, without values that are wrong.
        document: The document, for the places of keys.
        part_index: The parts that the experiment may name.
        wrong_keys: Top-level keys that have a problem already.
        own_step: The step of the experiment runs, not another one in its place.
    """
    findings = [*_missing_keys(settings, wrong_keys), *find_both_forms(document)]
    findings += find_execution_conflicts(settings)
    findings += find_file_conflicts(settings.callbacks)
    findings += find_schedule_problems(settings)
    findings += find_stream_problems(settings)
    step = settings.step
    signature = part_index.signature("step", step.name) if step else None
    facts = part_index.step_facts(step.name) if step else None
    if signature is not None:
        misplaced = signature.misplaced_settings
        findings += [(("step",), signature.misplaced_setting_text(p)) for p in misplaced]
        if signature.is_model_class:
            arguments = part_index.compile_signature(signature.name)
            findings += find_argument_problems(settings, signature, arguments, wrong_keys)
        elif not misplaced:
            findings += find_network_problems(settings, signature, wrong_keys)
            findings += find_needless_compile(settings, signature)
        findings += find_initial_weight_problems(settings, part_index, wrong_keys)
        used_facts = facts if own_step else None
        findings += _loss_and_metrics(settings, used_facts, signature.name, wrong_keys)
        findings += find_optimizer_conflicts(settings, part_index)
        findings += find_monitor_problems(settings, part_index, facts, wrong_keys)
    return list(_placed(document, findings))


def _placed(document: Document, findings: Iterable[tuple[KeyPath, str]]) -> Iterator[Problem]:
    for path, text in findings:
        node = document.tree.at(path)
        if node is None or node.raw is None:
            yield Problem(document.place(path), path, text)
        else:
            # A value from the environment may be a secret.
            hidden = f"the value of {node.raw} does not suit the step."
            yield Problem(node.place, path, hidden)


def _missing_keys(settings: Settings, wrong_keys: set[str]) -> Findings:
    for key, example in (("step", "step: supervised"), ("data", "data: digits")):
        if getattr(settings, key) is None and key not in wrong_keys:
            yield (key,), f"missing; an experiment needs it, for example `{example}`."


def unused(key: str, step: str) -> str:
    """Return the message for a `loss` or `metrics` that the step does not use."""
    if key == "loss":
        return f"step '{step}' takes no loss: it computes its own; remove the key."
    return f"step '{step}' takes no metrics: it keeps its own; remove the key."


def missing_loss(step: str) -> str:
    """Return the message for a step that needs a `loss` where there is none."""
    return f"missing; step '{step}' computes it, for example `loss: mse`."


def _loss_and_metrics(
    settings: Settings, facts: StepFacts | None, step: str, wrong_keys: set[str]
) -> Findings:
    uses: frozenset[str] | None = facts.uses if facts is not None else None
    if uses is not None and settings.loss is not None and "loss" not in uses:
        yield ("loss",), unused("loss", step)
    if uses is not None and settings.loss is None and "loss" in uses and "loss" not in wrong_keys:
        yield ("loss",), missing_loss(step)
    yield from _loss_weights(settings)
    for key in ("metrics", "weighted_metrics"):
        metrics = getattr(settings, key)
        if uses is not None and metrics and "metrics" not in uses:
            yield (key,), unused("metrics", step)
        seen: set[KeyPath] = set()
        for path, part in parts_by_key(metrics, (key,)):
            # A list of one metric for each output may name the same metric.
            output_and_name = (*path[1:-1], part.logged_as)
            if part.logged_as and output_and_name in seen:
                text = f"'{part.logged_as}' is given twice; "
                yield path, f"{text}remove one, or add `as: another_name` to it."
            seen.add(output_and_name)


def _loss_weights(settings: Settings) -> Findings:
    """Yield factors of losses that have no loss, or have no meaning for one loss."""
    weights, loss = settings.loss_weights, settings.loss
    if weights is None or loss is None:
        if weights is not None:
            yield ("loss_weights",), "has no effect without `loss`; add it, or remove this key."
        return
    kind = "a mapping" if isinstance(weights, dict) else "a list"
    if type(weights) is not type(loss):
        text = f"they are {kind} and `loss` is not; write both by the names of the outputs, or"
        yield ("loss_weights",), f"{text} both as lists."
        return
    names = list(loss) if isinstance(loss, dict) else []
    if (names and set(weights) != set(names)) or len(weights) != len(loss):
        losses = listed(names) if names else f"{len(loss)} losses"
        yield ("loss_weights",), f"expected one number for each loss; there are {losses}."
