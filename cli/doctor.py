"""The `fitx doctor` command: shows versions, devices, and the reason for a missing GPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from . import _arguments
from ._output import print_json, print_lines
from .display.stage_display import show_stages

MISSING = 4


@click.command(short_help="Show versions and devices, and why there is no GPU.")
@_arguments.json_option
@_arguments.verbose_option
@click.pass_context
def command(context: click.Context, as_json: bool, verbose: bool) -> None:
    """Show versions and devices, and the reason if TensorFlow sees no GPU.

    The exit code is 4 if a package that fitx needs is missing or broken. A GPU is not needed.
    """
    from fitx.commands.doctor import diagnose

    with show_stages():
        report = diagnose()
    if as_json:
        print_json(report)
    else:
        rows = list(_report_rows(report))
        width = max(len(name) for name, _ in rows)
        print_lines(f"{name:<{width}}  {text}".rstrip() for name, text in rows)
    if report["problems"]:
        context.exit(MISSING)


def _report_rows(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for package, version in report["versions"].items():
        yield package, version or "not installed"
    yield "python", f"{report['python']} on {report['platform']}"
    if "device" in report:
        yield from _device_rows(report)
    for setting in report["overridden"]:
        yield "overridden", setting
    yield "experiments", f"{report['configs']} shipped"
    for problem in report["problems"] or ["none"]:
        yield "problem" if report["problems"] else "problems", problem


def _device_rows(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for device in report["devices"]:
        yield "device", device["name"] + (f" ({device['model']})" if device["model"] else "")
    # The reason for a missing GPU follows in a row of its own.
    yield "auto uses", report["device"].partition(": ")[0] if report["no_gpu"] else report["device"]
    if report["no_gpu"]:
        yield "no GPU", report["no_gpu"]
    cuda, cudnn = report["built_for"]["cuda"], report["built_for"]["cudnn"]
    yield "built for", f"CUDA {cuda}, cuDNN {cudnn}" if cuda else "the CPU only"
    yield "threads", f"{report['threads']} per operation, {report['cpus']} CPUs"
    yield "oneDNN", "on" if report["onednn"] else "off"
    yield "datasets", report["datasets"]
