"""Signatures of parts, read from their source."""

import ast

import pytest
from pydantic import ConfigDict, TypeAdapter, ValidationError

from fitx.registry import python_source
from fitx.registry.annotations import PATH, type_from_default, type_of
from fitx.registry.part_index import PartIndex
from fitx.registry.signature import NO_DEFAULT, read_signature


def expression(text):
    return ast.parse(text, mode="eval").body


def reads(annotation, value, name="x"):
    """Return a value as an option of this annotation is read, strictly as options are."""
    config = ConfigDict(strict=True, allow_inf_nan=False)
    holder = TypeAdapter(
        list[type_of(expression(annotation), name)],
        config=config,
    )
    return holder.validate_python(
        [value], context={"check": lambda kind, name, options, _: options}
    )[0]


@pytest.mark.parametrize(
    ("annotation", "value", "read"),
    [
        ("int", 3, 3),
        ("float", 3, 3.0),
        ("bool", True, True),
        ("str", "a", "a"),
        ("Any", [1, "a"], [1, "a"]),
        ("int | None", None, None),
        ("Optional[int]", 4, 4),
        ("Union[int, str]", "a", "a"),
        ("Literal['min', 'max']", "max", "max"),
        ("typing.Literal[1, 2]", 2, 2),
        ("Annotated[int, Ge(1)]", 1, 1),
        ("Annotated[float, Gt(0), Lt(1), 'a note']", 0.5, 0.5),
        ("Annotated[int, MultipleOf(4)]", 8, 8),
        ("Annotated[int, Lt(2**32)]", 2**32 - 1, 2**32 - 1),
        ("Annotated[int, Le(le=4 * 4)]", 16, 16),
        ("Annotated[int, Le(9**99)]", "anything", "anything"),
        ("Annotated[list[int], MinLen(1), MaxLen(2)]", [1], [1]),
        ("Annotated[str, 'only a note']", "a", "a"),
        ("list[int]", [1, 2], [1, 2]),
        ("Sequence[int]", [1, 2], [1, 2]),
        ("collections.abc.Sequence[float]", [1, 2.5], [1.0, 2.5]),
        ("tuple[int, int]", [3, 3], (3, 3)),
        ("tuple[int, ...]", [1, 2, 3], (1, 2, 3)),
        ("tuple", [1, "a"], (1, "a")),
        ("set[str]", ["a", "a"], {"a"}),
        ("frozenset", [1], frozenset({1})),
        ("dict[str, float]", {"a": 1}, {"a": 1.0}),
        ("dict[int, float]", {"0": 1.5, "-3": 2}, {0: 1.5, -3: 2.0}),
        ("Mapping[int, str]", {"7": "a"}, {7: "a"}),
        ("dict", {"7": 1}, {"7": 1}),
        ("'int'", 3, 3),
        ("Path", "data/x.npz", "data/x.npz"),
        ("pathlib.Path", "x", "x"),
        ("None", None, None),
        ("np.ndarray", {"what": ["ever"]}, {"what": ["ever"]}),
        ("int + 1", "anything", "anything"),
        ("'not an ( expression'", "anything", "anything"),
        ("Annotated[int, Ge(limit)]", "anything", "anything"),
    ],
)
def test_an_annotation_takes(annotation, value, read):
    assert reads(annotation, value) == read


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        ("int", True),
        ("int", 1.0),
        ("int", "1"),
        ("float", "1"),
        ("float", float("nan")),
        ("bool", 1),
        ("bool", "yes"),
        ("str", 1),
        ("Annotated[int, Ge(1)]", 0),
        ("Annotated[float, Lt(1)]", 1.0),
        ("Annotated[int, MultipleOf(4)]", 6),
        ("Annotated[int, Lt(2**32)]", 2**32),
        ("Annotated[int, Le(le=4 * 4)]", 17),
        ("Annotated[list[int], MinLen(1)]", []),
        ("Literal['min', 'max']", "mean"),
        ("tuple[int, int]", [1]),
        ("tuple[int, int]", "ab"),
        ("tuple", "ab"),
        ("set[int]", {"a": 1}),
        ("dict[int, float]", {"a": 1.0}),
        ("dict[int, float]", {"01": 1.0}),
        ("dict[int, float]", [1]),
        ("Sequence[str]", "abc"),
        ("int | None", "x"),
    ],
)
def test_an_annotation_refuses(annotation, value):
    with pytest.raises(ValidationError):
        reads(annotation, value)


def test_a_path_is_distinguished_from_other_strings():
    assert type_of(expression("Path")) is PATH
    assert type_of(expression("str")) is not PATH


@pytest.mark.parametrize(
    ("name", "default", "takes", "refuses"),
    [
        ("epsilon", "1e-7", [0, 0.5, None, [0.1]], ["a", True, {}]),
        ("axis", "-1", [0, [0, 1], None], ["a", False]),
        ("strides", "(1, 1)", [2, [2, 2]], ["a"]),
        ("padding", "'valid'", ["same", None], [3, True, ["same"]]),
        ("update_freq", "'epoch'", ["batch", 100], [1.5]),
        ("use_bias", "True", [False], [0, "no", None]),
        ("weight_decay", "None", [0.1, 1, None], ["a", [1], True]),
        ("anything", "None", [0.1, "a", None, [1]], []),
        ("units", None, [1, 64], [0, -1, 1.5, "64", None, True]),
        ("rate", None, [0, 0.5, 1], [-0.1, 1.5, "a"]),
        ("decay_steps", None, [1, "total"], [0, "all", 1.5]),
        ("initial_learning_rate", None, [0, 0.1], [-1, "a"]),
        ("learning_rate", "0.001", [0, 0.1, 1], [-0.1, "0.1", True, None, float("inf")]),
        ("value_range", "some.constant", ["anything", 3], []),
    ],
)
def test_an_option_without_annotation_is_judged_by_its_name_and_default(
    name, default, takes, refuses
):
    sort = type_from_default(name, expression(default) if default else None, is_keras=True)
    holder = TypeAdapter(list[sort], config=ConfigDict(strict=True, allow_inf_nan=False))
    for value in takes:
        assert holder.validate_python([value]) == [value]
    for value in refuses:
        with pytest.raises(ValidationError):
            holder.validate_python([value])


@pytest.fixture
def signature(tmp_path):
    """Read what the first class or function of a source takes."""

    def read(text, kind="step"):
        path = tmp_path / f"part_{len(list(tmp_path.iterdir()))}.py"
        path.write_text(text, encoding="utf-8")
        module = python_source.read(path)
        found = python_source.Definition(module, next(iter(module.definitions.values())))
        return read_signature(kind, path.stem, found)

    return read


def test_positional_parameters_are_networks_and_the_others_settings(signature):
    read = signature(
        '''
class Mine(Step):
    """Do it."""

    def __init__(self, teacher, student=None, *, strength: float = 0.5, seed: int): ...
'''
    )
    assert [p.name for p in read.positional] == ["teacher", "student"]
    assert [p.required for p in read.parameters] == [True, False, False, True]
    assert [p.name for p in read.options] == ["strength", "seed"]
    assert str(read) == "Mine(teacher, student=None, *, strength: float = 0.5, seed: int)"
    assert (read.title, read.doc, read.line) == ("Mine", "Do it.", 2)
    assert read.get("strength").default == 0.5
    assert read.get("nothing") is None


def test_a_function_is_read_like_a_constructor(signature):
    read = signature("def mlp(input_shape, /, outputs, *, units=(64,)): ...", kind="model")
    assert str(read) == "mlp(input_shape, outputs, *, units=(64,))"


def test_keywords_passed_on_are_those_of_the_bases(signature):
    read = signature(
        """
class Mine(Base):
    def __init__(self, model, *, own=1, **kwargs):
        super().__init__(model, given=2, **kwargs)

class Base:
    def __init__(self, first, second=0, given=1, inherited=3):
        pass
"""
    )
    assert [p.name for p in read.parameters] == ["model", "own", "second", "inherited"]


def test_a_class_without_a_constructor_has_its_base_s(signature):
    read = signature(
        """
class Mine(Base):
    pass

class Base:
    def __init__(self, model, *, inherited=3): ...
"""
    )
    assert [p.name for p in read.parameters] == ["model", "inherited"]


def test_a_step_s_own_keywords_are_not_those_of_keras_models(signature):
    text = """
class Mine(Step):
    def __init__(self, model, *, own=1, **kwargs):
        super().__init__(model=model, **kwargs)

from fitx.step import Step
"""
    assert [p.name for p in signature(text).parameters] == ["model", "own"]


def test_defaults_that_no_file_can_hold_are_not_written_down(signature):
    read = signature(
        "def part(*, a=b'x', b=1j, c=object(), d={1, 2}, e=1e999, f=(1, 'x'), g={'a': [None]}): ..."
    )
    defaults = {p.name: p.default for p in read.parameters if p.default is not NO_DEFAULT}
    assert defaults == {"f": (1, "x"), "g": {"a": [None]}}


def test_a_default_of_none_allows_null_whatever_the_annotation_says(signature):
    parameter = signature("def part(*, rows: int = None): ...").get("rows")
    assert TypeAdapter(parameter.type).validate_python(None) is None


def test_a_step_without_a_constructor_has_one_network_called_model(tmp_path):
    path = tmp_path / "plain.py"
    text = "from fitx import Step, steps\n\n@steps.register\nclass Plain(Step):\n    pass\n"
    path.write_text(text, encoding="utf-8")
    part_index = PartIndex()
    part_index.add_plugin(path)
    read = part_index.signature("step", "plain")
    assert [p.name for p in read.positional] == ["model"]


def test_signatures_of_ours_keras_and_short_names_are_found():
    part_index = PartIndex()
    assert str(part_index.signature("model", "linear")) == (
        "linear(input_shape: Sequence[int], outputs: int, output_activation: str)"
    )
    assert str(part_index.signature("constraint", "max_norm")) == "MaxNorm(max_value=2, axis=0)"
    assert part_index.signature("loss", "mse").title == "MeanSquaredError"
    assert part_index.signature("optimizer", "nothing") is None
    assert part_index.signature("metric", "acc").parameters == ()


def test_the_documentation_of_an_optimizer_names_the_options_that_all_have():
    doc = PartIndex().signature("optimizer", "sgd").doc
    assert "{{" not in doc
    assert "\n    clipnorm: Float. If set, the gradient of each weight is individually" in doc
