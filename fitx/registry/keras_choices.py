"""Choices of options of Keras' parts, so that they are checked before Keras is imported.

Keras reports a wrong word late or replaces it, as callbacks do with `mode`. A test compares these
tables with the installed Keras.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal, Optional

from annotated_types import Ge
from pydantic import BeforeValidator, PlainValidator, Strict, WithJsonSchema
from pydantic_core import PydanticKnownError

from fitx.registry.signature import Parameter

_RESIZED = ("bilinear", "nearest", "lanczos3", "lanczos5", "bicubic", "area")
_ENCODED = ("int", "one_hot", "multi_hot", "count")

BY_KIND: dict[tuple[str, str], tuple[Any, ...]] = {
    ("callback", "mode"): ("auto", "min", "max"),
    ("loss", "reduction"): (
        "sum_over_batch_size",
        "sum",
        "mean",
        "mean_with_sample_weight",
        "none",
    ),
    ("layer", "padding"): ("valid", "same"),
    ("layer", "data_format"): ("channels_last", "channels_first"),
    ("layer", "interpolation"): ("nearest", "bilinear"),
    ("layer", "fill_mode"): ("reflect", "wrap", "constant", "nearest"),
    ("layer", "merge_mode"): ("sum", "mul", "ave", "concat"),
    ("layer", "score_mode"): ("dot", "concat"),
    ("layer", "use_cudnn"): ("auto", True, False),
    ("layer", "oov_method"): ("floormod", "farmhash"),
    ("layer", "output_mode"): (*_ENCODED, "tf_idf"),
    ("layer", "scaling"): ("density", "spectrum"),
    ("layer", "standardize"): ("lower_and_strip_punctuation", "lower", "strip_punctuation"),
    ("layer", "split"): ("whitespace", "character"),
    ("metric", "average"): ("micro", "macro", "weighted"),
    ("metric", "class_aggregation"): ("uniform_average", "variance_weighted_average"),
    ("metric", "curve"): ("ROC", "PR", "PRGAIN", "roc", "pr", "prgain"),
    ("metric", "summation_method"): (
        *("interpolation", "majoring", "minoring"),
        *("Interpolation", "Majoring", "Minoring"),
    ),
    ("initializer", "distribution"): (
        "truncated_normal",
        "untruncated_normal",
        "normal",
        "uniform",
    ),
    ("initializer", "mode"): ("fan_in", "fan_out", "fan_avg"),
    ("initializer", "scaling"): ("density", "spectrum"),
    ("initializer", "side"): ("real", "imag"),
    ("regularizer", "mode"): ("rows", "columns"),
}
"""Choices by (kind, option), for options whose default is a word."""

BY_CLASS: dict[tuple[str, str], tuple[Any, ...]] = {
    ("Conv1D", "padding"): ("valid", "same", "causal"),
    ("RandomElasticTransform", "fill_mode"): ("constant", "nearest", "wrap", "mirror", "reflect"),
    ("UpSampling2D", "interpolation"): _RESIZED,
    ("Resizing", "interpolation"): _RESIZED,
    ("Resizing", "fill_mode"): ("constant",),
    ("CategoryEncoding", "output_mode"): _ENCODED[1:],
    ("Discretization", "output_mode"): _ENCODED,
    ("Hashing", "output_mode"): _ENCODED,
    ("HashedCrossing", "output_mode"): ("int", "one_hot"),
    ("RandomFlip", "mode"): ("horizontal", "vertical", "horizontal_and_vertical"),
    ("STFTSpectrogram", "mode"): ("log", "magnitude", "psd", "real", "imag", "angle", "stft"),
}
"""Choices by (class, option), for classes that differ from their kind."""

MAY_BE_NULL = {
    *("reduction", "data_format", "merge_mode", "scaling", "standardize", "split"),
    *("average", "class_aggregation"),
}
"""Options that also accept null."""

IN_ANY_CASE = {"padding", "data_format", "distribution"}
"""Options whose words Keras converts to lower case."""

_NUMBERS = ("optimizer", "schedule", "callback", "regularizer")
"""Kinds whose numeric options take one number; those of other kinds may also take a list."""


def _read_number(value: Any) -> int | float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise PydanticKnownError("float_type")


_NUMBER = Annotated[Any, PlainValidator(_read_number), WithJsonSchema({"type": "number"})]


def with_keras_type(kind: str, cls: str, parameter: Parameter) -> Parameter:
    """Return a parameter of a Keras part with the type that Keras accepts.

    Args:
        kind: The kind of the part.
        cls: The class of the part.
        parameter: The parameter as read from the source.
    """
    name, default = parameter.name, parameter.default
    choices = choices_of(kind, cls, parameter)
    if choices is not None:
        return replace(parameter, type=_choice(name, choices))
    if (cls, name) == ("TensorBoard", "update_freq"):
        return replace(parameter, type=Literal["batch", "epoch"] | Annotated[int, Strict(), Ge(1)])
    is_number = isinstance(default, int | float) and not isinstance(default, bool)
    if is_number and kind in _NUMBERS and name not in ("learning_rate", "profile_batch"):
        return replace(parameter, type=_NUMBER)
    return parameter


def choices_of(kind: str, cls: str, parameter: Parameter) -> tuple[Any, ...] | None:
    """Return the choices of an option without null; None if it also takes other values."""
    if (cls, parameter.name) in BY_CLASS:
        return BY_CLASS[cls, parameter.name]
    # Some parts take numbers under the same name, such as `padding` of ZeroPadding2D.
    has_words = isinstance(parameter.default, str) or parameter.name in ("data_format", "average")
    return BY_KIND.get((kind, parameter.name)) if has_words else None


def _choice(name: str, choices: tuple[Any, ...]) -> Any:
    words: Any = Literal[choices]
    if name in IN_ANY_CASE:
        words = Annotated[words, BeforeValidator(_lower)]
    return Optional[words] if name in MAY_BE_NULL else words  # noqa: UP045


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value
