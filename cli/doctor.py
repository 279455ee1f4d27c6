"""fitx doctor: what is installed, what computes, and why there is no GPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from . import _options
from ._output import write_json, write_lines
from .display.waiting import waiting

MISSING = 4


@click.command()
@_options.json_output
@click.option("--verbose", is_flag=True, help="Show TensorFlow's messages and full tracebacks.")
@click.pass_context
def command(context: click.Context, as_json: bool, verbose: bool) -> None:
    """Show versions and devices, and the actual reason when TensorFlow sees no GPU.

    The exit code is 4 when something that fitx needs is missing; a machine without GPU is fine.
    """
    from fitx.commands.doctor import diagnose

    with waiting():
        facts = diagnose()
    if as_json:
        write_json(facts)
    else:
        rows = list(_rows(facts))
        width = max(len(name) for name, _ in rows)
        write_lines(f"{name:<{width}}  {text}".rstrip() for name, text in rows)
    if facts["problems"]:
        context.exit(MISSING)


def _rows(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for package, version in facts["versions"].items():
        yield package, version or "not installed"
    yield "python", f"{facts['python']} on {facts['platform']}"
    if "device" in facts:
        yield from _devices(facts)
    for setting in facts["overridden"]:
        yield "overridden", setting
    yield "configs", f"{facts['configs']} shipped"
    for problem in facts["problems"] or ["none"]:
        yield "problem" if facts["problems"] else "problems", problem


def _devices(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for device in facts["devices"]:
        yield "device", device["name"] + (f" ({device['model']})" if device["model"] else "")
    yield "auto takes", facts["device"]
    if facts["no_gpu"]:
        yield "no GPU", facts["no_gpu"]
    cuda, cudnn = facts["built_for"]["cuda"], facts["built_for"]["cudnn"]
    yield "built for", f"CUDA {cuda}, cuDNN {cudnn}" if cuda else "the CPU only"
    yield "threads", f"{facts['threads']} for one operation, on {facts['cpus']} CPUs"
    yield "oneDNN", "on" if facts["onednn"] else "off"
    yield "datasets", facts["datasets"]
