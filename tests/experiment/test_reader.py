"""Reading YAML into values with places."""

import math

import pytest
import yaml

from fitx.experiment.problems import ConfigError
from fitx.experiment.yaml.reader import read, scalar
from fitx.experiment.yaml.tree import Node, Place, TextSource, dotted


def tree(text):
    return read(text, TextSource("test.yaml", tuple(text.split("\n"))))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        ("1e3", 1000.0),
        ("-1.5", -1.5),
        ("+3", 3),
        (".5", 0.5),
        ("3.", 3.0),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("-0", 0),
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("1e999", math.inf),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("2024-01-01", "2024-01-01"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0b1", "0b1"),
        ("0o8", "0o8"),
        ("1.2.3", "1.2.3"),
        ("e5", "e5"),
        (".", "."),
        ("+", "+"),
        ("nUll", "nUll"),
        ("inf", "inf"),
        ("nan", "nan"),
        ("=", "="),
    ],
)
def test_a_plain_scalar_is_read_as_yaml_1_2_reads_it(text, value):
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


def test_nan_is_read():
    assert math.isnan(scalar(".nan"))


def test_an_integer_of_too_many_digits_is_refused():
    assert scalar("9" * 300) == int("9" * 300)
    with pytest.raises(ValueError, match="has 301 digits; at most 300"):
        scalar("9" * 301)


def test_quoted_scalars_are_strings_and_blocks_too():
    read = tree("a: '1'\nb: \"true\"\nc: |\n  1e-3\nd: >-\n  null\n")
    assert read.as_python() == {"a": "1", "b": "true", "c": "1e-3\n", "d": "null"}
    assert not read.value["a"].is_unquoted


def test_every_value_and_key_has_its_place():
    read = tree("step: gan\nnetworks:\n  # a comment\n  a: {name: mlp}\nlist:\n- 3\n- 4\n")
    places = {dotted(path): (node.place.line, node.place.column) for path, node in read.walk()}
    assert places == {
        "": (1, 1),
        "step": (1, 7),
        "networks": (4, 3),
        "networks.a": (4, 6),
        "networks.a.name": (4, 13),
        "list": (6, 1),
        "list.0": (6, 3),
        "list.1": (7, 3),
    }
    assert str(read.keys["networks"]) == "test.yaml:2:1"


def test_windows_line_ends_and_a_byte_order_mark_are_taken(tmp_path):
    from fitx.experiment.yaml.locate import read_text

    file = tmp_path / "a.yaml"
    file.write_bytes("\ufeffstep: gan\r\nseed: 3\r".encode())
    text, source = read_text("a.yaml", file)
    assert read(text, source).as_python() == {"step": "gan", "seed": 3}
    assert source.lines == ("step: gan", "seed: 3", "")


def test_nothing_is_a_document_without_value():
    assert tree("").value is None
    assert tree("--- \n...\n").value is None


def test_sixty_four_levels_are_taken():
    assert tree("[" * 64 + "]" * 64).as_python() is not None
    with pytest.raises(ConfigError, match="nested deeper than 64 levels"):
        tree("[" * 66 + "]" * 66)


@pytest.mark.parametrize(
    "deep",
    ["[" * 5000, "[" * 5000 + "]" * 5000, "{a: " * 5000 + "}" * 5000, "- " * 5000, "? " * 5000],
    ids=["unclosed", "lists", "mappings", "items", "keys"],
)
@pytest.mark.parametrize("before", ["", f"a: [{'[], ' * 500}]\nb:\n  "], ids=["alone", "later"])
def test_any_depth_is_refused_by_fitx_itself_before_a_parser_refuses_it(before, deep):
    # A key that is not text is refused first.
    with pytest.raises(ConfigError, match=r"nested deeper than 64 levels|expected text as the key"):
        tree(before + deep)


def test_brackets_and_columns_that_are_no_levels_are_taken():
    assert tree(f"a: '{'[' * 3000}' # {'[' * 3000}\nb: 1").as_python() == {"a": "[" * 3000, "b": 1}
    assert tree(f"a: [{'[], ' * 3000}]").as_python() == {"a": [[]] * 3000}
    assert tree(f"a:\n{' ' * 3000}b: 1").as_python() == {"a": {"b": 1}}
    assert tree(f"a: |\n  x\n{' ' * 3000}y\n").as_python() == {"a": "x\n" + " " * 2998 + "y\n"}


def test_a_path_leads_to_a_node_or_nowhere():
    read = tree("a: {b: [1, {c: 2}]}")
    assert read.at(("a", "b", 1, "c")).value == 2
    assert read.at(("a", "b", 2)) is None
    assert read.at(("a", "b", "x")) is None
    assert read.at(("a", "x", "y")) is None
    assert read.at(()) is read


def test_odd_keys_are_shown_so_that_they_can_be_read():
    assert dotted(("a", 0, "b-c")) == "a.0.b-c"
    assert dotted(("", "a\nb", "x" * 100)) == f"''.'a\\nb'.'{'x' * 57}...'"


def test_a_place_without_a_line_is_its_source():
    assert str(Place(TextSource("command line: a=b"))) == "command line: a=b"


def test_a_node_s_value_is_plain_python():
    node = Node(
        {"a": Node([Node(1, Place(TextSource("")))], Place(TextSource("")))}, Place(TextSource(""))
    )
    assert node.as_python() == {"a": [1]}


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a: ]", "1:4", "did not find expected node content"),
        ("a: 1\n b: 2", "2:3", "mapping values are not allowed in this context; put a value with"),
        ("a: b\n# note\n c: d", "3:2", "did not find expected key while parsing a block mapping"),
        ("{a: 1}\nb: 2", "2:1", "did not find expected <document start>"),
        ("fit\n\n  epochs: 3", "3:9", "mapping values are not allowed"),
        ("a: - b", "1:4", "block sequence entries are not allowed"),
        ("a:\n  - b: 1\n   c: 2", "3:4", "did not find expected '-' indicator"),
        ("a: >-3x\n b", "1:7", "did not find expected comment or line break while scanning"),
        ("a: [${env:X}]", "1:6", "inside [ ] and { } put '${env:...}' in quotes."),
        ("a: {b: [1, 2}", "1:13", "did not find expected ',' or ']'"),
        ("a: {\n", "1:5", "the text ends within [ ] or { }"),
        ("a: [", "1:5", "the text ends within [ ] or { }"),
        ("a: [b", "1:4", "'[' is not closed."),
        ("a: [\n  b,", "2:5", "the text ends within [ ] or { }"),
        ("a: 'b\n", "1:4", '"\'" is not closed.'),
        ("a: @b", "1:4", "put the value in quotes."),
        ("a:\t1\n\tb: 2", "2:1", "a tab indents this line; indent with spaces."),
        ('a: "\\d"', "1:5", "found unknown escape character"),
        ("a: *x", "1:4", "the alias '*x' is not allowed; write the value out."),
        ("? [a]\n: b", "1:3", "expected text as the key, found a list or a mapping"),
        (
            "'<<': {a: 1}",
            "1:1",
            "the merge key '<<' is not allowed; share settings with `extends:`.",
        ),
        ("!x a: b", "1:1", "the tag '!x' is not allowed; write the value without it."),
    ],
)
def test_what_is_not_yaml_is_reported_at_its_place(text, place, words):
    with pytest.raises(ConfigError) as caught:
        tree(text)
    (problem,) = caught.value.problems
    assert str(problem.place) == f"test.yaml:{place}"
    assert words in problem.text


def test_an_error_of_the_parser_without_a_place_is_reported(monkeypatch):
    def parse(*arguments, **keywords):
        raise yaml.MarkedYAMLError(problem="something odd")

    monkeypatch.setattr(yaml, "parse", parse)
    with pytest.raises(ConfigError, match="^a.yaml: not YAML: something odd.$"):
        read("a: 1", TextSource("a.yaml"))
