"""fitx list: everything there is to name."""

from __future__ import annotations

import json

import click

from . import _options


@click.command()
@click.argument("kind", required=False)
@_options.json_output
def command(kind: str | None, as_json: bool) -> None:
    """List what is there of KIND: step, model, dataset, callback, optimizer, loss, config, ...

    Without KIND, list every kind of part that fitx ships and the shipped experiments.
    """
    from fitx.registry.kinds import KINDS, OURS

    kinds = [_kind(kind, (*KINDS, "config"))] if kind else ["config", *OURS]
    names = {each: _names(each) for each in kinds}
    if as_json:
        click.echo(json.dumps(names))
    elif kind:
        click.echo("\n".join(names[kinds[0]]))
    else:
        click.echo("\n".join(f"{each}: {', '.join(found)}" for each, found in names.items()))
        more = ", ".join(k for k in KINDS if k not in OURS)
        click.echo(f"\n`fitx list KIND` lists Keras' parts too: {more}.")


def _kind(word: str, kinds: tuple[str, ...]) -> str:
    from fitx.errors import UsageError
    from fitx.experiment.problems import nearest

    plurals = {**{k: k for k in kinds}, **{f"{k}s": k for k in kinds}, "losses": "loss"}
    if word.lower() not in plurals:
        hint = nearest(word, kinds)
        raise UsageError(f"no kind of part is called '{word}'.{hint} Kinds: {', '.join(kinds)}.")
    return plurals[word.lower()]


def _names(kind: str) -> list[str]:
    from fitx.experiment.locate import shipped
    from fitx.registry.catalogue import Catalogue

    if kind != "config":
        return Catalogue().names(kind)
    files = shipped()
    return sorted(
        n for n in files if not any(m != n and files[m] == files[n] and "/" in m for m in files)
    )
