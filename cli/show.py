"""fitx show: what a part takes, what it does, where it is defined."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from . import _options

if TYPE_CHECKING:
    from fitx.registry.signature import Signature


@click.command()
@click.argument("name")
@_options.json_output
def command(name: str, as_json: bool) -> None:
    """Show the signature, docstring and file of NAME, or of a plugin file's parts.

    Of a name that several kinds have, all are shown; `loss/poisson` asks for one.
    """
    signatures = _signatures(name)
    if as_json:
        click.echo(json.dumps([_plain(signature) for signature in signatures]))
    else:
        click.echo("\n\n".join(_text(signature) for signature in signatures))


def _signatures(name: str) -> list[Signature]:
    from fitx.errors import UsageError
    from fitx.experiment.problems import nearest
    from fitx.registry.catalogue import Catalogue
    from fitx.registry.kinds import KINDS

    catalogue = Catalogue()
    name = _plugin(catalogue, name) if name.endswith(".py") else name
    kind, _, word = name.rpartition("/")
    found = [catalogue.signature(k, word) for k in KINDS if kind in ("", k)]
    signatures = [signature for signature in found if signature is not None]
    if not signatures:
        known = [n for k in KINDS for n in catalogue.spellings(k)]
        raise UsageError(f"nothing is called '{name}'.{nearest(word, known)} See `fitx list`.")
    return signatures


def _plugin(catalogue: Any, name: str) -> str:
    from pathlib import Path

    from fitx.errors import UsageError

    try:
        catalogue.add_plugin(Path(name).resolve())
    except (OSError, ValueError, SyntaxError) as error:
        raise UsageError(f"{name} cannot be read: {error}.") from error
    return Path(name).stem


def _text(signature: Signature) -> str:
    header = f"{signature.kind} {signature.name}\n\n  {signature}"
    fixed = _batch_options() if signature.kind == "dataset" else ""
    return f"{header}{fixed}\n\n{_indented(signature.doc)}\n\n  {signature.file}:{signature.line}"


def _batch_options() -> str:
    from fitx.experiment.options import batch_options

    options = ", ".join(p.text for p in batch_options())
    return f"\n  and, as every dataset: {options}"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines())


def _plain(signature: Signature) -> dict[str, Any]:
    return {
        "kind": signature.kind,
        "name": signature.name,
        "signature": str(signature),
        "doc": signature.doc,
        "file": str(signature.file),
        "line": signature.line,
        "parameters": [
            {"name": p.name, "text": p.text, "required": p.required, "fed": p.positional}
            for p in signature.parameters
        ],
    }
