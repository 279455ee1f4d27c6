"""The schema of experiment files: fixed keys with their types, ranges and defaults.

Options of parts are not fixed keys; the signature of a part declares them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, Lt
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from fitx.experiment.after import After
from fitx.experiment.output_parts import Weights, metrics_of_outputs, one_loss_or_several
from fitx.experiment.yaml.tree import KeyPath
from fitx.registry.kinds import Part, model_or_models, part_of

_EVERY = re.compile(r"auto|epoch|[1-9]\d{0,8} steps?|[1-9]\d{0,5} minutes?")
_DEVICE = re.compile(r"auto|cpu|gpu|gpu:(0|[1-9]\d{0,2})")
_DEVICE_SCHEMA = {
    "anyOf": [
        {"enum": ["auto", "cpu", "gpu"]},
        {"type": "string", "pattern": r"^gpu:(0|[1-9]\d{0,2})$|\$\{env:"},
    ]
}
_EXPECTATION = re.compile(r"(>=|<=|==|>|<)\s*(-?[0-9.]+(?:[eE][-+]?\d+)?)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

LATEST = "latest"
"""The name of the link to the newest run; no experiment can have it."""


def _cadence(value: Any) -> Any:
    if not isinstance(value, str) or not _EVERY.fullmatch(value):
        expected = "expected auto, epoch, 'N steps' or 'N minutes'"
        raise PydanticCustomError("expected", expected)
    return value


def _device(value: Any) -> Any:
    if not isinstance(value, str) or not _DEVICE.fullmatch(value):
        expected = "expected auto, cpu, gpu or one GPU such as gpu:0"
        raise PydanticCustomError("expected", expected)
    return value


def _valid_expectation(value: Any) -> Any:
    parse_expectation(value if isinstance(value, str) else "")
    return value


def parse_expectation(value: str) -> tuple[str, float]:
    """Split an expectation such as `>= 0.95` into its operator and its number."""
    match = _EXPECTATION.fullmatch(value.strip())
    try:
        return (match[1], float(match[2])) if match else _refuse_comparison()
    except ValueError:
        return _refuse_comparison()


def _refuse_comparison() -> tuple[str, float]:
    raise PydanticCustomError("expected", "expected a comparison such as '>= 0.95'")


def _run_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        expected = (
            "expected letters, digits, '.', '_' and '-', at most 100, a letter or digit first"
        )
        raise PydanticCustomError("expected", expected)
    if value == LATEST:
        expected = "expected another name; 'latest' is the name of the link to the newest run"
        raise PydanticCustomError("expected", expected)
    return value


def _compile_arguments(value: Any, info: ValidationInfo) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PydanticCustomError("dict_type", "expected a mapping")
    arguments: dict[str, Any] = (info.context or {})["check"].compile_arguments(value, info)
    return arguments


class Section(BaseModel):
    """A mapping with fixed keys in the experiment file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Fit(Section):
    """The length of the training and the frequency of validation."""

    epochs: int = Field(1, ge=0, le=10**9, description="Passes over the training data.")
    steps_per_epoch: int | None = Field(
        None, ge=1, le=10**9, description="Batches per epoch; null: all."
    )
    validation_steps: int | None = Field(
        None, ge=1, le=10**9, description="Batches per validation; null: all."
    )
    validation_freq: int = Field(
        1, ge=1, le=10**9, description="Epochs from one validation to the next."
    )
    allow_nan: list[str] = Field(
        [], description="Logged values that may be NaN; a NaN of any other value ends the run."
    )

    @property
    def is_never_validated(self) -> bool:
        """The training ends before its first validation."""
        return 0 < self.epochs < self.validation_freq


class Checkpoint(Section):
    """The frequency of checkpoints, and the number that is kept."""

    every: Annotated[str, BeforeValidator(_cadence)] = Field(
        "auto", description="auto | epoch | N steps | N minutes"
    )
    keep: int = Field(2, ge=1, le=1000, description="Checkpoints to keep, besides the best one.")
    monitor: str | None = Field(None, description="The logged value that tells the best epoch.")
    mode: Literal["min", "max"] | None = Field(None, description="Whether min or max is best.")


class Execution(Section):
    """The devices, the precision and the mode of execution."""

    device: Annotated[str, BeforeValidator(_device), WithJsonSchema(_DEVICE_SCHEMA)] = Field(
        "auto", description="auto: a GPU if there is one; gpu, or one such as gpu:1: required."
    )
    threads: int | None = Field(
        None, ge=1, le=1024, description="CPU threads per operation; null: all."
    )
    strategy: Literal["auto", "mirrored", "multi_worker"] = Field(
        "auto",
        description="auto: one device; mirrored: all GPUs of this machine; multi_worker: those of "
        "several, as TF_CONFIG or SLURM names them.",
    )
    virtual_devices: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Devices to split a CPU into, to try mirrored without GPUs.",
    )
    precision: Literal["float32", "float64", "mixed_float16", "mixed_bfloat16"] = Field(
        "float32", description="The type of the numbers in computations."
    )
    mode: Literal["auto", "measure", "plain", "xla", "fused", "fused_xla"] = Field(
        "auto", description="Steps per call, and whether XLA compiles them."
    )
    eager: bool = Field(
        False, description="Run the steps as plain Python, for prints and breakpoints."
    )
    deterministic: bool = Field(False, description="Refuse operations whose results vary.")


@dataclass(frozen=True)
class DataOptions:
    """Options that every dataset accepts.

    Args:
        batch_size: Rows per step.
        shuffle: Give each epoch its own order of the training rows.
        validation_split: Fraction of the training rows, the last ones as the dataset gives them,
            to hold out as the validation split.
        class_weight: Weight of the rows of a class in training, by class label; 1 for classes
            left out. Multiplies the dataset's own sample weights, if any.
        labels: Keep y and the sample weights; without them batches are the bare x.
        join: Train on the rows of all splits together.
        drop_remainder: Leave out the last batch of an epoch of train if it is short.
    """

    batch_size: Annotated[int, Ge(1), Le(1_000_000_000)] = 32
    shuffle: bool = True
    validation_split: Annotated[float, Ge(0), Lt(1)] = 0.0
    class_weight: dict[int, Annotated[float, Ge(0)]] | None = None
    labels: bool = True
    join: bool = False
    drop_remainder: bool = False


class Settings(Section):
    """The top-level keys of an experiment file, after `extends` is merged."""

    version: Literal[1] = Field(1, description="The version of this language.")
    name: Annotated[str, AfterValidator(_run_name)] | None = Field(
        None, description="The name of the runs; null: the stem of the file."
    )
    plugins: list[str] = Field([], description="Python files that register parts.")
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of all random numbers.")
    step: part_of("step") | None = Field(None, description="The training algorithm.")  # type: ignore[valid-type]
    model: part_of("model") | None = Field(None, description="The network of a step that has one.")  # type: ignore[valid-type]
    networks: dict[str, model_or_models()] = Field({}, description="The networks of the step.")  # type: ignore[valid-type]
    optimizer: part_of("optimizer") | None = Field(None, description="The one optimizer.")  # type: ignore[valid-type]
    optimizers: dict[str, part_of("optimizer")] = Field(  # type: ignore[valid-type]
        {}, description="Optimizers by network; a network without one is frozen."
    )
    after: After = Field(None, description="The run whose networks the training starts with.")
    loss: one_loss_or_several() | None = Field(  # type: ignore[valid-type]
        None, description="The loss, or losses by output, for steps that take one."
    )
    loss_weights: Weights | None = Field(None, description="Factors of the losses by output.")
    metrics: metrics_of_outputs() = Field(  # type: ignore[valid-type]
        [], description="Metrics, or metrics by output, for steps that take them."
    )
    weighted_metrics: metrics_of_outputs() = Field(  # type: ignore[valid-type]
        [], description="Metrics that are weighted by sample weights and class weights."
    )
    compile: Annotated[
        dict[str, Any], PlainValidator(_compile_arguments), WithJsonSchema({"type": "object"})
    ] = Field({}, description="Arguments of the `compile` of a step that is a keras.Model.")
    data: part_of("dataset") | None = Field(None, description="The dataset.")  # type: ignore[valid-type]
    fit: Fit = Fit()
    callbacks: list[part_of("callback")] = Field([], description="Callbacks.")  # type: ignore[valid-type]
    checkpoint: Checkpoint = Checkpoint()
    execution: Execution = Execution()
    expect: dict[str, Annotated[str, BeforeValidator(_valid_expectation)]] = Field(
        {}, description="Comparisons of logged values; if one fails at the end, the exit code is 6."
    )

    @property
    def all_optimizers(self) -> dict[KeyPath, Part]:
        """The optimizers by the path of their key: `optimizer` and those of `optimizers`."""
        parts: dict[KeyPath, Part] = {("optimizers", n): p for n, p in self.optimizers.items()}
        arguments = self.compile.items()
        parts.update({("compile", n): p for n, p in arguments if _is_optimizer(p)})
        return {("optimizer",): self.optimizer, **parts} if self.optimizer is not None else parts


def _is_optimizer(value: Any) -> bool:
    return isinstance(value, Part) and value.kind == "optimizer"


SECTIONS: dict[str, type[Section]] = {"fit": Fit, "checkpoint": Checkpoint, "execution": Execution}
