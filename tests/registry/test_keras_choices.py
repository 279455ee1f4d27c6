"""Compares the choices of options with those of the installed Keras."""

import keras
import pytest
from pydantic import ConfigDict, TypeAdapter, ValidationError

from fitx.build.make_parts import class_of
from fitx.registry import keras_parts
from fitx.registry.keras_choices import BY_CLASS, BY_KIND, MAY_BE_NULL, choices_of
from fitx.registry.kinds import KERAS_KINDS, Part
from fitx.registry.part_index import PartIndex

KINDS = [*sorted({*KERAS_KINDS} - {"activation", "constraint"}), "callback"]
NEEDED = {
    **{"units": 2, "filters": 2, "kernel_size": 2, "pool_size": 2, "output_size": 2, "factor": 0.1},
    **{"height": 8, "width": 8, "height_factor": 0.1, "width_factor": 0.1, "num_bins": 4},
    **{
        "max_number": 4,
        "rate": 0.5,
        "frame_length": 8,
        "beta": 1.0,
        "num_classes": 2,
        "target_class_ids": [0],
    },
    **{"target_height": 8, "target_width": 8, "alpha": 0.5, "sequence_stride": 4, "fft_length": 8},
}
"""What constructors need besides the option that is tried."""

ALSO_NEEDED = {
    # Without a window SciPy, which may not be installed, is not asked for one.
    **dict.fromkeys(("STFT", "STFTInitializer", "STFTSpectrogram"), {"window": None}),
    "CategoryEncoding": {"num_tokens": 4},
    "Discretization": {"num_bins": 4},
    "RandomPosterization": {"factor": 4},
}
"""What single constructors need besides."""

FREE = {
    *("monitor", "log_dir", "separator", "update_freq", "encoding", "oov_token", "window"),
    *("vocabulary_dtype", "name", "dtype"),
}
"""Options with a word as their default that may be other words than a few, or are typed apart."""

LATE = {
    # Callbacks warn and take `auto`; layers find out when they are called.
    ("callback", "mode"),
    ("layer", "padding"),
    ("layer", "interpolation"),
    ("layer", "fill_mode"),
    ("layer", "data_format"),
    ("layer", "mode"),
    ("layer", "use_cudnn"),
}
"""Options of which Keras does not judge every wrong word in the constructor."""


def options():
    """Yield every option of a part of Keras that takes one of a few words."""
    for kind in KINDS:
        for cls in keras_parts.classes(kind):
            signature = PartIndex().signature(kind, cls)
            for parameter in signature.parameters:
                words = choices_of(kind, signature.title, parameter)
                if words is not None:
                    yield kind, cls, parameter, words


OPTIONS = list(options())


def made(kind, cls, **given):
    signature = PartIndex().signature(kind, cls)
    required = [p.name for p in signature.parameters if p.required]
    needed = {name: NEEDED[name] for name in required if name in NEEDED}
    needed |= ALSO_NEEDED.get(cls, {})
    if cls == "Bidirectional":
        needed["layer"] = keras.layers.LSTM(2)
    if given.get("output_mode") in ("int", "one_hot", "multi_hot", "count", "tf_idf"):
        needed |= {"dtype": "int64"} if given["output_mode"] == "int" else {"dtype": "float32"}
    return class_of(Part(kind, cls))(**{**needed, **given})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "cls", "parameter", "words"), OPTIONS)
def test_keras_takes_every_word_and_no_other(kind, cls, parameter, words):
    name = parameter.name
    adapter = TypeAdapter(parameter.type, config=ConfigDict(strict=True))
    for word in [*words, *([None] if name in MAY_BE_NULL else [])]:
        assert adapter.validate_python(word) == word
        made(kind, cls, **{name: word})
    with pytest.raises(ValidationError):
        adapter.validate_python("no_such_word")
    if (kind, name) not in LATE:
        with pytest.raises((ValueError, NotImplementedError, TypeError, KeyError)):
            made(kind, cls, **{name: "no_such_word"})


def test_every_option_of_keras_with_a_word_as_its_default_is_checked_or_known_to_be_free():
    listed = {(kind, cls, parameter.name) for kind, cls, parameter, _ in OPTIONS}
    for kind in KINDS:
        for cls in keras_parts.classes(kind):
            for p in PartIndex().signature(kind, cls).parameters:
                is_part = p.name.endswith(("activation", "initializer"))
                if isinstance(p.default, str) and not is_part and p.name not in FREE:
                    assert (kind, cls, p.name) in listed


def test_no_entry_of_the_tables_is_left_over():
    used = {(kind, p.name) for kind, _, p, _ in OPTIONS}
    assert used >= BY_KIND.keys()
    assert {(cls, p.name) for _, cls, p, _ in OPTIONS} >= BY_CLASS.keys()


def test_words_that_keras_takes_in_any_case_are_taken_so():
    padding = PartIndex().signature("layer", "conv2d").get("padding")
    assert TypeAdapter(padding.type).validate_python("SAME") == "same"


@pytest.mark.parametrize(
    ("kind", "cls", "option", "good", "bad"),
    [
        ("callback", "tensorboard", "update_freq", ["epoch", "batch", 5], ["epochs", 0, "5", None]),
        ("callback", "early_stopping", "patience", [3], ["3", [3], True]),
        ("optimizer", "adam", "beta_1", [0.9], ["0.9", [0.9]]),
        ("regularizer", "l2", "l2", [0.01], ["0.01", [0.01]]),
        ("layer", "lstm", "use_cudnn", ["auto", True, False], ["yes"]),
    ],
)
def test_numbers_are_no_words_and_no_lists(kind, cls, option, good, bad):
    adapter = TypeAdapter(
        PartIndex().signature(kind, cls).get(option).type, config=ConfigDict(strict=True)
    )
    for value in good:
        assert adapter.validate_python(value) == value
    for value in bad:
        with pytest.raises(ValidationError):
            adapter.validate_python(value)
