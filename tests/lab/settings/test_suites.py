"""What a suite may declare: an endpoint, rows to compare, and experiments of equal time."""

import pytest
from support import params

from vct.lab.errors import UserError
from vct.lab.settings import reading

ROW = {"row": "variational", "against": ["independent"]}
DECLARED = {"experiments": ["small"], "primary": "steps1"}


def suite(**changes):
    return reading.validate(params({"suites.cpu": DECLARED | changes})).suite_settings("cpu")


def test_a_list_declares_nothing():
    found = reading.validate(params({"suites.cpu": ["small"]})).suite_settings("cpu")
    assert found.primary is None and not found.comparisons


def test_rows_and_experiments_of_equal_time_are_found():
    timed = ROW | {"equal": "time"}
    settings = suite(
        experiments=["small", "pictures"],
        comparisons=[ROW | {"of": ["small"]}],
    )
    (one,) = settings.comparisons
    assert settings.opponents("small", one) == "small"
    assert settings.opponents("pictures", one) is None
    settings = suite(comparisons=[timed], matched={"small": "small"})
    assert settings.opponents("small", settings.comparisons[0]) == "small"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"primary": "steps9"}, "primary: experiment 'small' draws"),
        ({"primary": "some"}, "names no samples"),
        ({"rivals": ["nobody"]}, "rivals: there is no variant 'nobody'"),
        ({"rivals": ["variational/fitted"]}, "has no prior 'fitted'"),
        ({"comparisons": [ROW], "primary": None}, "add primary"),
        ({"comparisons": [ROW], "rivals": ["independent"]}, "rivals would do nothing"),
        ({"comparisons": [ROW | {"row": "nobody"}]}, "no experiment .* has the variant 'nobody'"),
        ({"comparisons": [ROW | {"against": ["nobody"]}]}, "there is no variant 'nobody'"),
        ({"comparisons": [ROW | {"row": "variational/fitted"}]}, "has no prior 'fitted'"),
        ({"comparisons": [ROW | {"of": ["pictures"]}]}, "none of the suite's experiments"),
        ({"comparisons": [ROW | {"equal": "time"}]}, "give both"),
        ({"comparisons": [ROW], "matched": {"small": "small"}}, "give both"),
        (
            {"comparisons": [ROW | {"equal": "time"}], "matched": {"small": "other"}},
            "'other' is none",
        ),
    ],
)
def test_what_cannot_be_decided_is_refused(changes, words):
    with pytest.raises(UserError, match=words):
        suite(**changes)
