"""Reads summary.json and compares it with metrics.jsonl."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fitx.errors import StorageError
from fitx.json_model import parse_model
from fitx.rundir import journal
from fitx.rundir.file_schemas import Summary, parse_logged_value
from fitx.rundir.files import read_json

NAME = "summary.json"


def read(run: Path) -> dict[str, Any]:
    """Return the fields of a finished run's summary.json.

    Raises:
        StorageError: It is missing, unreadable or damaged, or contradicts metrics.jsonl; with the
            field.
    """
    path = run / NAME
    summary = read_json(path)
    try:
        parse_model(Summary, summary)
        _check_journal(summary, journal.read(run))
    except ValueError as error:
        raise StorageError(f"{path} is damaged: {error}") from error
    return dict(summary)


def _check_journal(summary: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    """Raise ValueError if a summary contradicts the last line of metrics.jsonl."""
    last: dict[str, Any] = lines[-1] if lines else {"epoch": 0, "step": 0}
    for field, key in (("epochs", "epoch"), ("steps", "step")):
        if summary[field] != last[key]:
            raise ValueError(f"{field}: expected {last[key]} as in {journal.NAME}")
    # Values of the test are measured after the last epoch; their names begin with "test_".
    logged = {name: last[name] for name in last if name not in journal.OWN_KEYS}
    metric_values = {name: parse_logged_value(value) for name, value in summary["metrics"].items()}
    for name in logged.keys() | metric_values.keys():
        is_tested = name.startswith("test_") and name in metric_values
        if not is_tested and repr(metric_values.get(name)) != repr(logged.get(name)):
            expected = logged.get(name, "no such value")
            raise ValueError(f"metrics.{name}: expected {expected} as in {journal.NAME}")
