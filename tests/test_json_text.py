import json
from pathlib import Path

import numpy as np
import pytest

from fitx.json_text import MAX_DEPTH, json_ready, parse


def nested(levels):
    return "[" * levels + "]" * levels


def test_json_is_parsed_as_the_standard_library_parses_it():
    value = {"a": [1, 2.5, None, True, {"b": '[[[\\"[[{'}], "": {}}
    assert parse(json.dumps(value)) == parse(json.dumps(value).encode()) == value


def test_levels_are_counted_outside_strings_only():
    value = [["[" * 1000 + '\\"' + "{" * 1000] * 3, [[]] * 1000]
    assert parse(json.dumps(value)) == value


def test_as_many_levels_as_are_allowed_are_taken_and_no_more():
    assert json.dumps(parse(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    with pytest.raises(ValueError, match=f"nested deeper than {MAX_DEPTH} levels"):
        parse(nested(MAX_DEPTH + 1))


@pytest.mark.parametrize("text", ["[" * 10**6, '{"a":' * 10**6, '["' * 10**6], ids=len)
def test_what_never_closes_is_refused(text):
    with pytest.raises(ValueError):
        parse(text)


@pytest.mark.parametrize("text", ["NaN", "[-Infinity]", '{"a": Infinity}'])
def test_numbers_that_json_lacks_are_refused(text):
    with pytest.raises(ValueError, match="is not a JSON number"):
        parse(text)


def test_a_number_that_becomes_infinite_is_refused():
    with pytest.raises(ValueError, match="-1e999 is too large a number"):
        parse("[-1e999]")
    assert parse("[1e308, 1e-999]") == [1e308, 0.0]


def test_a_key_that_stands_twice_is_refused_however_many_there_are():
    many = ", ".join(f'"{number}": 0' for number in range(100_000))
    with pytest.raises(ValueError, match="it has the key '7' twice in one object"):
        parse(f'[{{{many}, "7": 1}}]')
    assert parse('[{"a": 1}, {"a": 1}]') == [{"a": 1}, {"a": 1}]


@pytest.mark.parametrize("text", ["", "{", "\x00", b"\xff\xfe"])
def test_what_is_no_json_is_a_value_error(text):
    with pytest.raises(ValueError):
        parse(text)


def test_values_become_what_json_can_hold():
    value = {
        1: (True, np.float32(0.5), np.int64(3), np.bool_(True)),
        "not finite": [float("nan"), float("inf"), -np.inf],
        "set": {"b", "a"},
        "path": Path("a/b"),
        "array": np.array([[1.0, np.nan]]),
    }
    assert json_ready(value) == {
        "1": [True, 0.5, 3, True],
        "not finite": ["nan", "inf", "-inf"],
        "set": ["a", "b"],
        "path": "a/b",
        "array": [[1.0, "nan"]],
    }
    json.dumps(json_ready(value), allow_nan=False)


def test_what_json_cannot_hold_is_refused():
    with pytest.raises(TypeError) as error:
        json_ready({"a": b"x"})
    assert str(error.value) == "bytes cannot be written as JSON: b'x'"
