"""run.json: the description, the origin and the status of a run."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from fitx.errors import StorageError
from fitx.json_model import parse_model
from fitx.redaction import redact_all
from fitx.rundir.file_schemas import RunRecord, Status
from fitx.rundir.files import read_json, write_json
from fitx.rundir.folder import RECORD

_TEXTS = ("argv", "error", "changes")

STATUSES: tuple[Status, ...] = get_args(Status)


class Record:
    """The contents of one run's run.json, written to disk after every change.

    Attributes:
        run: the run's folder.
        facts: the fields of run.json; change them with `update`.
    """

    def __init__(self, run: Path, facts: dict[str, Any]) -> None:
        self.run = run
        self.facts = facts

    def update(self, **changes: Any) -> None:
        """Set top-level fields and rewrite the file atomically.

        A `status` other than "running" also sets the time under `ended`.

        Raises:
            ValueError: a status that is none of `STATUSES`.
            StorageError: the file cannot be written; the old one is intact.
        """
        facts = {**self.facts, **changes}
        if "status" in changes:
            _check_status(facts["status"])
            facts["ended"] = None if facts["status"] == "running" else _now()
        write_json(self.run / RECORD, _redacted(facts))
        self.facts = facts


def start(run: Path, facts: dict[str, Any]) -> Record:
    """Write the first run.json of a run, with status "running" and the time.

    Args:
        run: the run's folder.
        facts: its fields, as `json_ready` takes them; NaN and infinities become strings.

    Raises:
        StorageError: the file cannot be written.
    """
    record = Record(run, {"status": "running", "started": _now(), "ended": None, **facts})
    record.update()
    return record


def reopen(run: Path) -> Record:
    """Return the record of an existing run, ready to be updated; the file is not changed.

    Raises:
        StorageError: as for `load`.
    """
    return Record(run, load(run))


def load(run: Path) -> dict[str, Any]:
    """Read run.json.

    Returns:
        Its fields, checked against `file_schemas.RunRecord`.

    Raises:
        StorageError: it is missing, unreadable or damaged; with the wrong field.
    """
    path = run / RECORD
    facts = read_json(path)
    try:
        parse_model(RunRecord, facts)
    except ValueError as error:
        raise StorageError(f"{path} is damaged: {error}") from error
    return dict(facts)


def _redacted(value: Any) -> Any:
    """Return fields without values of environment variables.

    Only texts from a user, a plugin or a library can contain them; fitx' own texts stay unchanged,
    because they are read again and compared.
    """
    if isinstance(value, dict):
        return {k: redact_all(v) if k in _TEXTS else _redacted(v) for k, v in value.items()}
    return [_redacted(item) for item in value] if isinstance(value, list) else value


def _check_status(status: Any) -> None:
    if status not in STATUSES:
        raise ValueError(f"status is one of {', '.join(STATUSES)}, not {status!r}")


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
