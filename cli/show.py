"""The `fitx show` command: shows the options, the documentation and the file of a part."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from . import _arguments, _layout
from ._output import print_json, print_text

if TYPE_CHECKING:
    from fitx.registry.part_index import PartIndex
    from fitx.registry.signature import Signature


@click.command(short_help="Show a part or an experiment.")
@click.argument("name", type=_arguments.PART)
@_arguments.json_option
def command(name: str, as_json: bool) -> None:
    """Show the options, the documentation and the file of NAME.

    NAME is a part, a shipped experiment, or a plugin file. If parts of several kinds have the
    name, all are shown; `loss/poisson` selects one.
    """
    from fitx.registry.part_index import PartIndex

    part_index = PartIndex()
    signatures = _signatures(name, part_index)
    if as_json:
        print_json([_signature_json(signature) for signature in signatures])
        return
    shown = ["\n\n".join(_signature_text(signature, part_index)) for signature in signatures]
    print_text("\n\n".join([*shown, *_config_text(name)]))


def _config_text(name: str) -> Iterator[str]:
    """Yield the text of a shipped experiment, if NAME is one."""
    from fitx.experiment.yaml.locate import shipped

    file = shipped().get(name)
    if file is not None:
        name = max((n for n, f in shipped().items() if f == file), key=len)
        text = file.read_text(encoding="utf-8").rstrip()
        yield f"experiment {name}\n\n{_layout.indented(text)}\n\n  {file}"


def _signatures(name: str, part_index: PartIndex) -> list[Signature]:
    from fitx.errors import UsageError
    from fitx.experiment.plugins import add
    from fitx.experiment.problems import nearest
    from fitx.experiment.yaml.locate import shipped
    from fitx.registry.kinds import KINDS

    kind, _, word = name.rpartition("/")
    kinds = [k for k in KINDS if kind in ("", k)]
    if name.endswith(".py"):
        path = add(name, part_index)
        registered = [(kind, path.stem) for kind in part_index.plugins[path]]
        own = [(part_index.own_kind(path, n), n) for n in part_index.own_names(path)]
        parts = [*registered, *own]
    else:
        parts = [(k, word) for k in kinds]
    candidates = [part_index.signature(*part) for part in parts]
    signatures = [signature for signature in candidates if signature is not None]
    if not signatures and name not in shipped():
        names = [*shipped(), *(n for k in kinds or KINDS for n in part_index.spellings(k))]
        hint = nearest(name, names) or nearest(word, names) or " `fitx list` lists all names."
        raise UsageError(f"nothing is called '{name}'.{hint}")
    return signatures


def _signature_text(signature: Signature, part_index: PartIndex) -> Iterator[str]:
    from fitx.experiment.checks.options import shared_options
    from fitx.registry.signature import texts

    yield f"{signature.kind} {signature.name}"
    width = _layout.output_width() - 2
    call = _layout.call_text(signature.title, list(texts(signature.parameters)), width)
    yield _layout.indented(call)
    own_compile = part_index.compile_signature(signature.name) if signature.kind == "step" else None
    if own_compile is not None:
        arguments = list(texts(own_compile.parameters))
        yield _layout.indented(_layout.call_text("compile", arguments, width))
    shared = shared_options(signature.kind, signature.name)
    if shared:
        eight = " " * 8
        filled = partial(textwrap.fill, width=max(width - 2, 20), initial_indent=eight)
        wrapped = partial(filled, subsequent_indent=eight)
        common = "\n".join(f"    {option.text}\n{wrapped(option.description)}" for option in shared)
        yield _layout.indented(f"Options of every dataset:\n{common}")
    if signature.doc:
        yield _layout.indented(signature.doc)
    if signature.kind == "step":
        yield _layout.indented(_step_text(signature, part_index))
    yield f"  {signature.file}:{signature.line}"


def _step_text(signature: Signature, part_index: PartIndex) -> str:
    """Return what a step takes from the experiment besides its options, and what it logs."""
    facts = part_index.step_facts(signature.name)
    if facts is None:
        return "Before a run, fitx finds out if it takes `loss` and `metrics`, and what it logs."
    used_keys = sorted(facts.uses) + ["weighted_metrics"] * ("metrics" in facts.uses)
    takes = (
        f"Takes `{'`, `'.join(used_keys)}` from the experiment." if used_keys else "Takes no loss."
    )
    names = [*sorted(facts.logs), *["the metrics"] * ("metrics" in facts.uses)]
    return f"{takes} Logs {', '.join(names)}."


def _signature_json(signature: Signature) -> dict[str, Any]:
    return {
        "kind": signature.kind,
        "name": signature.name,
        "signature": str(signature),
        "doc": signature.doc,
        "file": str(signature.file),
        "line": signature.line,
        "parameters": [
            {
                "name": p.name,
                "text": p.text,
                "required": p.required,
                "fed": p.positional,
                "description": p.description,
            }
            for p in signature.parameters
        ],
    }
