"""What a suite may declare: an endpoint, rows to compare, and experiments of equal time."""

import pytest
from support import params, plain

from vct.lab.errors import UserError
from vct.lab.settings import reading

ROW = {"row": "variational", "against": ["independent"]}
DECLARED = {"experiments": ["small"], "primary": "steps1"}
MATCHED = {
    **DECLARED,
    "experiments": ["small", "longer"],
    "primary": "steps2",
    "comparisons": [ROW | {"equal": "time"}],
    "matched": {"small": "longer"},
}


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
        ({"comparisons": [ROW | {"against": ["variational"]}]}, "variational is the row itself"),
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


def matched(**changes):
    """A suite whose experiment `small` is matched by a longer one, with `changes` at its keys."""
    content = params({"suites.cpu": MATCHED, "datasets.others": {"source": "mixture", "train": 64}})
    longer = content["experiments"]["longer"] = plain(content["experiments"]["small"])
    for section, values in changes.items():
        longer[section] |= values
    return reading.validate(content)


def test_experiments_of_equal_time_may_differ_in_length_and_in_what_decides_no_score():
    later, drawn = [2.0, 0.1], ["standard", "late"]
    sample = {"mid_times": later, "batch_size": 4, "priors": drawn, "late_start": 9.0}
    found = matched(train={"steps": 40}, sample=sample)
    assert found.suite_settings("cpu").matched == {"small": "longer"}


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"train": {"dataset": "others"}}, "train.dataset"),
        ({"train": {"batch_size": 4}}, r"sample.pool \(or train.batch_size\)"),
        ({"train": {"t_max": 40.0}}, "train.t_max"),
        ({"score": {"metric": "own.Metric"}}, "score"),
        ({"sample": {"num_samples": 8}}, "sample.num_samples"),
        ({"sample": {"seed": 1}}, "sample.seed"),
        ({"sample": {"noise": "sobol"}}, "sample.noise"),
        ({"sample": {"mid_times": [3.0, 0.5]}}, "sample.mid_times"),
        ({"sample": {"sampler": {"kind": "own.Sampler"}}}, "sample.sampler"),
    ],
)
def test_experiments_of_equal_time_that_are_scored_otherwise_are_refused(changes, what):
    with pytest.raises(UserError, match=rf"'small' and 'longer' .* \(they differ in {what}\)"):
        matched(**changes)
