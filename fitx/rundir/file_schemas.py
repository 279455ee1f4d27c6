"""The files of a run folder as Pydantic models: types, ranges and required fields."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from fitx import json_text
from fitx.json_model import NOT_FINITE, Count, Model, Seconds, Sha256

MOST_TEXT = 1 << 20
"""The longest experiment file, in characters."""

MOST_THREADS = 4096
"""The largest number of threads in run.json: that of the largest machines. TensorFlow starts all of
them and cannot be interrupted meanwhile. `execution.threads` has a lower limit."""


Status: TypeAlias = Literal["running", "finished", "interrupted", "failed", "diverged"]
Mode: TypeAlias = Literal["plain", "xla", "fused", "fused_xla"]
UtcTime = Annotated[
    str, Field(pattern=r"^[0-9]{4}-[01][0-9]-[0-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-5][0-9] UTC$")
]
RunId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
CheckpointName = Annotated[str, Field(pattern=r"^[0-9]{6,18}(-[0-9]{1,9})?$")]


def parse_logged_value(value: Any) -> Any:
    """Return a logged value as a float where it was written as text; anything else as it is."""
    return float(value) if isinstance(value, str) and value in NOT_FINITE else value


LoggedValue = Annotated[float, Field(allow_inf_nan=True), BeforeValidator(parse_logged_value)]
"""A logged value; NaN and infinities are written as "nan", "inf" and "-inf"."""


class BestEpochRecord(Model):
    """The best epoch by the value that `checkpoint.monitor` names."""

    monitor: str
    mode: Literal["min", "max"]
    epoch: Annotated[Count, Field(ge=1)]
    value: LoggedValue


class SplitRecord(Model):
    """The rows of a split, and a hash of every number in it."""

    rows: Count
    sha256: Sha256


class DataRecord(Model):
    """The splits of the data."""

    train: SplitRecord
    validation: SplitRecord | None = None
    test: SplitRecord | None = None


class FileRecord(Model):
    """The size and the hash of a file, or of all files of a folder, that a part reads."""

    bytes: Count
    sha256: Sha256


class GitCommit(Model):
    """The git commit of the working folder, and whether tracked files differ from it."""

    commit: str
    dirty: bool


class Environment(Model):
    """The environment of a process, as `run_environment.describe_environment` returns it."""

    python: str
    platform: str
    machine: str
    processor: str | None
    variables: dict[str, str]
    versions: dict[str, str | None]
    argv: list[str]
    cwd: str | None
    host: str
    cpus: Annotated[int, Field(ge=1, le=10**6)] | None


class Resumed(Environment):
    """One resume: its checkpoint, its changes and its environment."""

    at: UtcTime
    checkpoint: Annotated[CheckpointName | None, Field(alias="from")]
    changes: list[str]


class SourceRecord(Model):
    """The origin of the weights with which a network started."""

    run: str
    id: RunId
    network: str
    weights: Literal["last", "best"]
    checkpoint: CheckpointName
    sha256: Sha256


class RunRecord(Environment):
    """run.json."""

    status: Status
    started: UtcTime
    ended: UtcTime | None
    name: str
    id: RunId
    git: GitCommit | None
    device: str
    mode: Mode
    evaluation_mode: Mode
    device_kind: Literal["cpu", "gpu"]
    accelerator: str | None
    threads: Annotated[int, Field(ge=1, le=MOST_THREADS)]
    precision: Literal["float32", "float64", "mixed_float16", "mixed_bfloat16"]
    strategy: Literal["auto", "mirrored", "multi_worker"]
    replicas: Annotated[int, Field(ge=1, le=10**6)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    smoke: bool
    data: DataRecord
    plugins: dict[str, Sha256]
    files: dict[str, FileRecord]
    references: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{32}\$[0-9a-f]{64}$")]]
    after: dict[str, SourceRecord] = {}
    last: CheckpointName | None
    best: BestEpochRecord | None
    error: str | None = None
    resumed: list[Resumed] = []
    pending_experiment: Annotated[str, Field(max_length=MOST_TEXT)] | None = None


class JournalLine(Model):
    """A line of metrics.jsonl; all other fields are logged values."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, LoggedValue]

    epoch: Annotated[Count, Field(ge=1)]
    step: Count
    seconds: Seconds


class Judged(Model):
    """An expectation of the experiment, and whether it was met."""

    name: str
    expected: str
    found: LoggedValue | None
    met: bool


class Summary(Model):
    """summary.json."""

    metrics: dict[str, LoggedValue]
    status: Literal["finished"]
    epochs: Count
    steps: Count
    seconds: Seconds
    examples_per_second: Annotated[float, Field(ge=0)] | None
    best: BestEpochRecord | None
    expect: list[Judged]


def _options(text: str) -> str:
    json_text.parse(text)
    return text


class CheckpointMeta(Model):
    """meta.json of a checkpoint: the position of the run and the state of callbacks.

    The fields are those of `fitx.training.state.snapshot.Position`; `journal_bytes` is how much of
    metrics.jsonl had been written, `callback_options` are the options of each callback as JSON,
    `built_rates` the learning rates that the experiment asked for.
    """

    epoch: Count
    step: Count
    passed: Count
    phase: Literal["between", "epoch", "validation"]
    stopping: bool
    seconds: Seconds
    begun: Seconds
    journal_bytes: Count
    callbacks: dict[str, Any]
    callback_options: dict[str, Annotated[str, AfterValidator(_options)]]
    built_rates: dict[str, LoggedValue]
    batch_size: Annotated[Count, Field(ge=1)]
    best: BestEpochRecord | None = None
    run: str | None = None

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if (self.phase == "between") != (self.passed == 0):
            text = f"phase is '{self.phase}', which cannot be after {self.passed} steps of an epoch"
            raise ValueError(text)
        # `passed` counts steps of today's batch size, of which more than `step` may be over.
        if self.step < self.epoch + (self.passed > 0):
            more = " and steps of another" if self.passed else ""
            raise ValueError(f"step is {self.step}, too few for {self.epoch} epochs{more}")
        if self.best is not None and self.best.epoch > self.epoch:
            raise ValueError(f"best.epoch is {self.best.epoch}, of {self.epoch} that were over")
        if self.callback_options.keys() != self.callbacks.keys():
            raise ValueError("callbacks and callback_options do not name the same callbacks")
        return self
