"""What comparisons show, in words: no more than their p-values and intervals say."""

import math

import pandas as pd
import pytest

from vct.lab.report.collect import COLUMNS, Collected
from vct.lab.report.comparisons import Comparison
from vct.lab.report.paired import Paired
from vct.lab.report.words import summary, verdicts

CLEAR = tuple(-8 - 0.1 * seed for seed in range(12))  # of 12 seeds, all better: p = 2^-11
NOISE = (1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 1.5, -1.5, 0.2, -0.2, 3.0, -2.9)


@pytest.fixture
def judge(digits):
    """Verdicts on (row, rivals with their differences) of one experiment."""
    declared = {digits.experiment: digits}
    collected = Collected(pd.DataFrame(columns=COLUMNS), declared, {}, {}, declared)

    def made(*compared):
        found = [
            Comparison(
                digits.experiment,
                "fid",
                "steps1",
                row,
                digits.experiment,
                tuple(rivals),
                tuple(map(Paired, rivals.values())),
                1.0,
            )
            for row, rivals in compared
        ]
        return verdicts(found, collected)

    return made


def test_a_clear_difference_is_told_with_its_size_and_interval(judge):
    (one,) = judge(("ot", {"independent": CLEAR}))
    low, high = Paired(CLEAR).interval()
    assert one.state == "better" and one.p_holm < 0.05
    expected = f"minibatch OT beats independent noise by 8.55 (95 %: {-high:.3g} to {-low:.3g})."
    assert one.words == expected


def test_the_other_direction_is_worse(judge):
    (one,) = judge(("ot", {"independent": tuple(-value for value in CLEAR)}))
    assert one.state == "worse"
    assert one.words.startswith("minibatch OT is worse than independent noise by 8.55")


def test_better_than_the_best_is_better_than_each(judge):
    nearer = tuple(value / 2 for value in CLEAR)
    (one,) = judge(("ot", {"independent": CLEAR, "variational": nearer}))
    assert one.words.startswith(
        "minibatch OT beats each of independent noise, variational, the nearest of them by 4.27"
    )


def test_noise_is_called_nothing(judge):
    (one,) = judge(("variational/fitted", {"independent": NOISE}))
    low, high = Paired(NOISE).interval()
    assert one.state == "open" and low < 0 < high
    assert one.words == (
        "variational, fitted prior against independent noise: nothing is shown "
        f"(95 %: {-low:.3g} better to {high:.3g} worse)."
    )


def test_few_seeds_show_nothing_even_where_the_interval_leaves_zero_out(judge):
    (one,) = judge(("ot", {"independent": (-8.0, -8.1, -8.2)}))
    assert one.state == "open" and "nothing is shown (95 %: 7.85 to 8.35 better)" in one.words
    assert "With 3 seeds no p can fall below 0.25" in summary([one])


def test_holm_takes_back_what_one_of_many_seems_to_show(judge):
    """Six seeds, all better: p = 1/32, which holds alone and not among ten."""
    six = ("ot", {"independent": CLEAR[:6]})
    assert judge(six)[0].state == "better"
    assert {each.state for each in judge(*[six] * 10)} == {"open"}


@pytest.mark.parametrize("values", [(), (1.0,)])
def test_without_two_seeds_nothing_can_be_said(judge, values):
    (one,) = judge(("ot", {"independent": values, "variational": values}))
    assert one.state == "unknown" and one.interval is None
    assert one.words == "minibatch OT against independent noise and variational"


def test_a_score_that_is_not_finite_shows_nothing(judge):
    (one,) = judge(("ot", {"independent": (math.nan, 1.0, 2.0)}))
    assert one.state == "open" and one.interval is None and "not finite" in one.words


def test_intervals_of_an_experiment_share_a_scale_around_zero(judge):
    wide, narrow = judge(("ot", {"independent": CLEAR}), ("ot", {"variational": NOISE}))
    assert min(wide.interval) == pytest.approx(0) and wide.place(0) == 50
    low, _, high = narrow.interval
    assert low < 50 < high and high - low == pytest.approx(
        50 * (narrow.pair.interval()[1] - narrow.pair.interval()[0]) / wide.reach
    )


def test_the_summary_counts_what_holds(judge):
    clear, noise = ("ot", {"independent": CLEAR}), ("ot", {"variational": NOISE})
    assert summary(judge(clear, noise)).startswith(
        "1 of 2 comparisons that the suite declares shows more"
    )
    assert summary(judge(clear, noise)).endswith("Of the others nothing is shown.")
    assert summary(judge(noise, noise)).startswith("None of 2 comparisons")
    assert summary(judge(noise)).endswith("that the suite declares shows no more than noise.")
    assert summary(judge(clear)).endswith("that the suite declares shows more than noise.")
    assert summary([]).startswith("The suite declares no endpoint")
    assert summary([], endpoint=True).startswith("The suite has nothing to compare, so")
