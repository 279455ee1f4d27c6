"""Keras' own parts, found by name in its source."""

import pytest

from fitx.registry import keras_parts, python_source
from fitx.registry.part_index import PartIndex


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Adam", "adam"),
        ("AdamW", "adamw"),
        ("RMSprop", "rmsprop"),
        ("SGD", "sgd"),
        ("CosineDecay", "cosine_decay"),
        ("Conv2DTranspose", "conv2d_transpose"),
        ("LeakyReLU", "leaky_relu"),
        ("ReLU", "relu"),
        ("PReLU", "prelu"),
        ("LSTM", "lstm"),
        ("GRUCell", "gru_cell"),
        ("TensorBoard", "tensorboard"),
        ("ReduceLROnPlateau", "reduce_lr_on_plateau"),
        ("CSVLogger", "csv_logger"),
        ("MeanIoU", "mean_iou"),
        ("OneHotMeanIoU", "one_hot_mean_iou"),
        ("AUC", "auc"),
        ("R2Score", "r2_score"),
        ("F1Score", "f1_score"),
        ("SparseTopKCategoricalAccuracy", "sparse_top_k_categorical_accuracy"),
        ("L1L2", "l1l2"),
    ],
)
def test_a_class_name_is_written_in_snake_case(name, written):
    assert keras_parts.snake_case(name) == written


@pytest.mark.parametrize(
    ("kind", "name", "found"),
    [
        ("optimizer", "adam", "Adam"),
        ("optimizer", "Adam", "Adam"),
        ("optimizer", "ADAM_W", "AdamW"),
        ("loss", "mse", "MeanSquaredError"),
        ("loss", "MeanSquaredError", "MeanSquaredError"),
        ("metric", "mae", "MeanAbsoluteError"),
        ("regularizer", "l1l2", "L1L2"),
        ("initializer", "uniform", "RandomUniform"),
        ("activation", "relu", "relu"),
        ("schedule", "cosine_decay", "CosineDecay"),
        ("callback", "early_stopping", "EarlyStopping"),
        ("optimizer", "Optimizer", None),
        ("optimizer", "", None),
        ("loss", "get", None),
        ("layer", "Lambda", None),
        ("callback", "ModelCheckpoint", None),
        ("step", "gan", None),
    ],
)
def test_a_name_is_resolved_to_a_class(kind, name, found):
    assert keras_parts.class_name(kind, name) == found


def test_a_refused_part_has_a_reason():
    assert "checkpoint" in keras_parts.refusal_reason("callback", "model_checkpoint")
    assert "code" in keras_parts.refusal_reason("layer", "Lambda")
    assert keras_parts.refusal_reason("callback", "early_stopping") is None
    assert keras_parts.refusal_reason("optimizer", "adam") is None


def test_every_listed_name_is_found_with_its_signature():
    part_index = PartIndex()
    for kind in keras_parts._MODULES:
        names = part_index.spellings(kind)
        assert len(names) == len(set(names))
        assert all(part_index.signature(kind, name) is not None for name in names), kind


def test_a_name_that_several_kinds_have_tells_them():
    assert PartIndex().kinds_of("poisson") == ["loss", "metric"]
    assert PartIndex().kinds_of("digits") == ["dataset"]
    assert PartIndex().kinds_of("nothing") == []


def test_a_package_that_is_not_there_has_no_files():
    assert python_source.file_of("a_package_that_is_not_there.module") is None
    assert python_source.file_of("keras.src.nothing_like_this") is None
    assert python_source.file_of("") is None
