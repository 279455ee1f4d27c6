"""fitx list: list the names of parts and shipped experiments."""

from __future__ import annotations

import click

from . import _arguments, _layout
from ._output import write_json, write_text


@click.command()
@click.argument("kind", required=False, type=_arguments.KIND)
@_arguments.json_option
def command(kind: str | None, as_json: bool) -> None:
    """List the parts of KIND: step, model, dataset, callback, optimizer, loss, config, ...

    Without KIND, list all parts of fitx and the shipped experiments.
    """
    from fitx.registry.kinds import FITX_KINDS, KINDS

    kinds = [_kind_of(kind, (*KINDS, "config"))] if kind else ["config", *FITX_KINDS]
    names = {each: _names_of(each) for each in kinds}
    if as_json:
        write_json(names)
    elif kind:
        listed = names[kinds[0]]
        is_terminal = _layout.is_terminal()
        write_text(_layout.columns(listed, _layout.width()) if is_terminal else "\n".join(listed))
    else:
        write_text(_overview(names, [each for each in KINDS if each not in FITX_KINDS]))


def _overview(names: dict[str, list[str]], others: list[str]) -> str:
    wide = _layout.width()
    paragraphs = [_layout.paragraph(kind, listed, wide) for kind, listed in names.items()]
    more = _layout.paragraph("Keras' own, by `fitx list KIND`", others, wide)
    return "\n".join([*paragraphs, "", more])


def _kind_of(word: str, kinds: tuple[str, ...]) -> str:
    from fitx.errors import UsageError
    from fitx.experiment.problems import nearest

    plurals = {**{k: k for k in kinds}, **{f"{k}s": k for k in kinds}, "losses": "loss"}
    if word.lower() not in plurals:
        hint = nearest(word, kinds) or f" Kinds: {', '.join(kinds)}."
        raise UsageError(f"no kind of part is called '{word}'.{hint}")
    return plurals[word.lower()]


def _names_of(kind: str) -> list[str]:
    from fitx.experiment.yaml.locate import shipped
    from fitx.registry.part_index import PartIndex

    if kind != "config":
        return PartIndex().names(kind)
    # A file with a short and a long name is listed by the long one, which has its topic.
    return sorted({file: name for name, file in sorted(shipped().items(), key=_has_topic)}.values())


def _has_topic(item: tuple[str, object]) -> bool:
    return "/" in item[0]
