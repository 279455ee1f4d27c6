"""The `fitx list` command: lists the names of parts and shipped experiments."""

from __future__ import annotations

import textwrap

import click

from . import _arguments, _layout
from ._output import print_json, print_text

EXPERIMENT = "experiment"
"""The kind of the shipped experiments; `config` is accepted too."""

_JSON_KEYS = {EXPERIMENT: "config"}
"""Keys of the JSON output that differ from the kind, because scripts read them."""


@click.command(short_help="List parts and shipped experiments.")
@click.argument("kind", required=False, type=_arguments.KIND)
@_arguments.json_option
def command(kind: str | None, as_json: bool) -> None:
    """List the parts of KIND: step, model, dataset, callback, optimizer, loss, experiment, ...

    Without KIND, list all parts of fitx and the shipped experiments.
    """
    from fitx.registry.kinds import FITX_KINDS, KINDS

    kinds = [_find_kind(kind, (*KINDS, EXPERIMENT))] if kind else [EXPERIMENT, *FITX_KINDS]
    names = {each: _list_names(each) for each in kinds}
    if as_json:
        print_json({_JSON_KEYS.get(each, each): listed for each, listed in names.items()})
    elif kind:
        # One name per line for a pipe.
        width = _layout.output_width(otherwise=1)
        print_text(_layout.name_columns(names[kinds[0]], width))
    else:
        print_text(_overview(names, [each for each in KINDS if each not in FITX_KINDS]))


def _overview(names: dict[str, list[str]], others: list[str]) -> str:
    width = _layout.output_width()
    paragraphs = [_layout.paragraph(kind, listed, width) for kind, listed in names.items()]
    more = _layout.indented(textwrap.fill(", ".join(others), width - 2))
    return "\n".join([*paragraphs, "", "More kinds (Keras' own), for `fitx list KIND`:", more])


def _find_kind(word: str, kinds: tuple[str, ...]) -> str:
    from fitx.errors import UsageError
    from fitx.experiment.problems import nearest

    plurals = {**{k: k for k in kinds}, **{f"{k}s": k for k in kinds}, "losses": "loss"}
    plurals |= {"config": EXPERIMENT, "configs": EXPERIMENT}
    if word.lower() not in plurals:
        hint = nearest(word, kinds) or f" Kinds: {', '.join(kinds)}."
        raise UsageError(f"no kind of part is called '{word}'.{hint}")
    return plurals[word.lower()]


def _list_names(kind: str) -> list[str]:
    from fitx.experiment.yaml.locate import shipped
    from fitx.registry.part_index import PartIndex

    if kind != EXPERIMENT:
        return PartIndex().names(kind)
    # A file with a short and a long name is listed by the long one, which has its topic.
    return sorted({file: name for name, file in sorted(shipped().items(), key=_has_topic)}.values())


def _has_topic(item: tuple[str, object]) -> bool:
    return "/" in item[0]
