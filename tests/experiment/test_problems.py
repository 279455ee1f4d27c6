"""Texts of problems, excerpts and suggestions."""

import pytest

from fitx.experiment.checks.monitored_values import direction
from fitx.experiment.problems import (
    ConfigError,
    Problem,
    closest,
    describe,
    listed,
    nearest,
    shorten,
)
from fitx.experiment.yaml.tree import Place, TextSource

FILE = TextSource("a.yaml", ("step: gan", "数: 数字 x", "e\u0301: 1", "x" * 300, "\tname: a\x07b"))


def test_problems_are_reported_once_each_in_the_order_of_the_file():
    last = Problem(Place(TextSource("command line: a=b")), (), "is wrong.")
    error = ConfigError(
        [
            last,
            Problem(Place(FILE, 2, 4), ("数",), "is odd."),
            Problem(Place(FILE, 1, 1), ("step",), "is unknown."),
            Problem(Place(FILE, 1, 1), ("step",), "is unknown."),
        ],
        "Read on.",
    )
    assert str(error) == (
        "a.yaml:1:1: step: is unknown.\n"
        "    1 | step: gan\n"
        "        ^\n"
        "a.yaml:2:4: 数: is odd.\n"
        "    2 | 数: 数字 x\n"
        "            ^\n"
        "command line: a=b: is wrong.\n"
        "3 problems. Read on."
    )
    assert error.exit_code == 2


def test_the_caret_is_under_the_column_after_any_characters():
    def caret(line, column):
        return str(ConfigError([Problem(Place(FILE, line, column), (), "x")])).split("\n")[1:]

    assert caret(2, 7) == ["    2 | 数: 数字 x", "                 ^"]
    assert caret(3, 5) == ["    3 | e\u0301: 1", "           ^"]
    assert caret(4, 200) == ["    4 | " + "x" * 100, " " * 58 + "^"]
    assert caret(5, 2) == ["    5 |  name: a b", "         ^"]
    assert caret(9, 1) == []


def test_of_equally_similar_names_one_of_the_word_s_length_is_suggested():
    assert closest("mpl", ["simple", "mlp", "sample"]) == "mlp"


def test_a_problem_is_plain_json_too():
    problem = Problem(Place(FILE, 1, 7), ("step", "name"), "is unknown.")
    assert problem.to_json() == {
        "file": "a.yaml",
        "line": 1,
        "column": 7,
        "key": "step.name",
        "text": "is unknown.",
    }
    assert Problem(Place(TextSource("x")), (), "t").to_json()["line"] is None


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("optimiser", "optimizer"),
        ("LR", "learning_rate"),
        ("bs", "batch_size"),
        ("sparse_accuracy", "sparse_categorical_accuracy"),
        ("val_acc", "val_sparse_categorical_accuracy"),
        ("val_acuracy", "val_sparse_categorical_accuracy"),
        ("batchsize", "batch_size"),
        ("Optimizer", "optimizer"),
        ("wandb", None),
        ("", None),
        ("x", None),
    ],
)
def test_the_nearest_known_word(word, found):
    known = [
        "optimizer",
        "learning_rate",
        "batch_size",
        "sparse_categorical_accuracy",
        "val_sparse_categorical_accuracy",
        "val_loss",
    ]
    assert closest(word, known) == found
    assert nearest(word, known) == (f" Did you mean '{found}'?" if found else "")


def test_values_are_described():
    assert describe(None) == "nothing (null)"
    assert describe(True) == "true"
    assert describe({}) == "a mapping"
    assert describe([1]) == "a list"
    assert describe("a'b") == 'the string "a\'b"'
    assert describe(1.5) == "1.5"
    assert describe("x" * 100) == f"the string '{'x' * 45}...{'x' * 12}'"


def test_long_lists_and_texts_are_cut():
    assert listed(["a", "b"]) == "a, b"
    assert listed(list("abcd"), most=2) == "a, b and 2 more"
    assert shorten("a" * 60) == "a" * 60


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("loss", "min"),
        ("val_loss", "min"),
        ("d_loss", "min"),
        ("mean_squared_error", "min"),
        ("test_mae", "min"),
        ("sparse_categorical_crossentropy", "min"),
        ("kl_divergence", "min"),
        ("accuracy", "max"),
        ("val_auc", "max"),
        ("cosine_similarity", "max"),
        ("r2_score", "max"),
        ("true_positives", None),
        ("lossless", None),
        ("", None),
    ],
)
def test_the_better_direction_is_judged_by_the_name(name, better):
    assert direction(name) == better
