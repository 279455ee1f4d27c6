import pytest

from fitx.errors import ExpectationError
from fitx.training.result import judge_expectations, refuse_unmet


@pytest.mark.parametrize(
    ("text", "value", "met"),
    [
        (">= 0.95", 0.95, True),
        (">= 0.95", 0.949, False),
        ("<= 0.1", 0.1, True),
        ("> 1", 1.0, False),
        ("< 1e-3", 9e-4, True),
        ("== 2", 2.0, True),
        (">= 0", float("nan"), False),
    ],
)
def test_a_value_is_compared_with_its_bound(text, value, met):
    assert judge_expectations({"loss": text}, {"loss": value})[0]["met"] is met


def test_the_value_is_named_with_the_expectation():
    (judged,) = judge_expectations({"loss": "< 1"}, {"loss": 0.5})
    assert judged == {"name": "loss", "expected": "< 1", "found": 0.5, "met": True}


def test_all_that_is_missed_is_named_at_once():
    judged = judge_expectations(
        {"loss": "< 1", "accuracy": ">= 0.95", "auc": "> 0"}, {"loss": 0.5, "auc": -1.0}
    )
    with pytest.raises(ExpectationError) as error:
        refuse_unmet(judged)
    assert error.value.exit_code == 6
    assert str(error.value).splitlines() == [
        "expected accuracy >= 0.95, found no such value",
        "expected auc > 0, found -1",
    ]


def test_nothing_is_demanded_where_all_is_met():
    refuse_unmet(judge_expectations({"loss": "< 1"}, {"loss": 0.5}))
