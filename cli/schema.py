"""The `fitx schema` command: prints the JSON Schema of experiment files, for editors."""

from __future__ import annotations

import click

from ._output import print_json


@click.command(short_help="Print the JSON Schema of experiment files.")
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="FILE",
    help="Also include the parts of this plugin file.",
)
def command(plugins: tuple[str, ...]) -> None:
    """Print the JSON Schema of experiment files, with all registered parts.

    \b
    fitx schema > fitx.schema.json
    # then, as the first line of an experiment:
    # yaml-language-server: $schema=fitx.schema.json
    """
    from fitx.experiment.json_schema import json_schema
    from fitx.experiment.plugins import add
    from fitx.registry.part_index import PartIndex

    part_index = PartIndex()
    for plugin in plugins:
        add(plugin, part_index)
    print_json(json_schema(part_index), indent=1)
