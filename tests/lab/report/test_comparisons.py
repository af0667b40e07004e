"""Declared comparisons: paired by seed, against independent noise and the best rival, corrected."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from vct.lab.errors import UserError
from vct.lab.report.collect import collect
from vct.lab.report.comparisons import comparisons, frame, winners
from vct.lab.report.table import write_table
from vct.lab.settings.suite import SuiteSettings

SEEDS = tuple(range(10))
RIVALS = ["independent", "ot", "variational"]
SUITE = SuiteSettings(experiments=["digits_small"], primary="steps1", rivals=RIVALS)


def declaring(*comparisons, matched=None):
    """A suite with these comparisons."""
    return SuiteSettings(
        experiments=["digits_small", "longer"],
        primary="steps1",
        comparisons=[
            dict(zip(("row", "against", "equal"), each, strict=False)) for each in comparisons
        ],
        matched=matched or {},
    )


@pytest.fixture
def many(project, digits, scored_again):
    """Ten seeds, paired: OT is 2 to 3 better than independent, the fitted prior 2 better than OT,
    the variational row as good as independent; the bound is better than all."""
    import shutil

    for coupling in digits.couplings:
        first = project / f"results/{digits.experiment}/{coupling}/seed0"
        for seed in SEEDS:
            folder = first.with_name(f"seed{seed}")
            if not folder.exists():
                shutil.copytree(first, folder)
                path = folder / "config.json"
                record = json.loads(path.read_text())
                record["run"] = f"{digits.experiment}/{coupling}/seed{seed}"
                path.write_text(json.dumps(record))
                (folder / "samples.npz").write_text(str(folder))
            base = 60 + 5 * (seed % 3)  # the seeds differ more than the couplings
            value = {"independent": base, "ot": base - 2 - seed / 8, "variational": base}[coupling]
            scores = {"steps1": {"fid_classifier": value + (-1) ** seed * (coupling[0] == "v")}}
            if coupling == "variational":
                scores["fitted-steps1"] = {"fid_classifier": base - 5 - seed / 8}
                scores["aggregate-steps1"] = {"fid_classifier": 1.0}
            (folder / "metrics.json").write_text(json.dumps(scores))
            scored_again(folder)
    return collect([replace(digits, seeds=SEEDS)])


def test_pairing_finds_what_the_spread_over_seeds_hides(many):
    found = frame(comparisons(many, SUITE)).set_index(["row", "against"])
    ot = found.loc[("ot", "independent")]
    assert ot["difference"] == pytest.approx(-2 - 4.5 / 8)
    assert ot["p"] == pytest.approx(2 / 2**10) and ot["low"] < ot["difference"] < ot["high"] < 0
    assert found.loc[("variational", "independent"), "p"] > 0.5
    fitted = found.loc[("variational/fitted", "independent ot variational")]
    assert fitted["best"] == "ot" and fitted["difference"] == pytest.approx(-3)
    assert found["n"].eq(10).all()
    assert not found.reset_index()["row"].str.contains("aggregate").any()


def test_what_is_worse_than_one_rival_does_not_beat_the_best(many):
    found = frame(comparisons(many, SUITE)).set_index(["row", "against"])
    assert found.loc[("variational", "independent ot"), "p"] == 1
    assert found.loc[("independent", "ot variational"), "p"] == 1


def test_all_p_values_are_corrected_together(many):
    found = frame(comparisons(many, SUITE))
    assert (found["p_holm"] >= found["p"]).all()
    least = found["p"].min()
    assert found.loc[found["p"] == least, "p_holm"].min() == pytest.approx(len(found) * least)


def test_the_best_row_alone_is_bold_and_only_at_the_endpoint(many):
    bold = winners(comparisons(many, SUITE))
    assert bold == {("digits_small", "variational/fitted", "fid_classifier", "steps1")}
    folder = Path("results/some")
    write_table(many, folder, SUITE)
    text = (folder / "table.md").read_text()
    assert text.count("**") == 2 and "| variational, fitted prior | **" in text
    assert "### Paired comparisons, 1 step" in text
    assert len(pd.read_csv(folder / "comparisons.csv")) == 7
    assert r"\textbf{" in (folder / "table.tex").read_text().split("tabular")[1]


def test_a_declared_rival_that_was_not_run_blocks_the_verdict_and_counts(many):
    suite = SUITE.model_copy(update={"rivals": [*RIVALS, "nowhere"]})
    found = comparisons(many, suite)
    assert len(found) == len(comparisons(many, SUITE))
    assert not winners(found)
    assert {each.p_value for each in found if len(each.against) > 1} == {1.0}


def test_independent_noise_is_best_only_where_its_score_is(many):
    """The best of three rows is the one with the lowest mean, whatever they were compared with."""
    table = many.frame.copy()
    one = table["samples"] == "steps1"
    base = table.loc[one & (table["coupling"] == "independent"), "value"].to_numpy()
    for row, shift in (("ot", 2.0), ("variational", -0.5)):
        table.loc[one & (table["coupling"] == row), "value"] = base + shift
    few = replace(many, frame=table[~table["coupling"].str.contains("/")])
    bold = winners(comparisons(few, SUITE))
    assert {place[1] for place in bold} == {"variational"}


def test_scores_that_nobody_ranks_are_not_compared(many):
    protocol = many.protocols["digits_small"]
    labels = {"fid_classifier": {"label": "some number"}}
    turned = protocol.model_validate({**protocol.content(), "labels": labels})
    other = replace(many, protocols={"digits_small": turned})
    assert comparisons(other, SUITE) == []


def test_three_seeds_decide_nothing(many, digits):
    few = collect([replace(digits, seeds=SEEDS[:3])])
    assert not winners(comparisons(few, SUITE))


def test_where_more_is_better_the_sign_turns(many):
    label = {"label": "score", "higher_is_better": True}
    protocol = many.protocols["digits_small"]
    labels = {"fid_classifier": label}
    turned = protocol.model_validate({**protocol.content(), "labels": labels})
    other = replace(many, protocols={"digits_small": turned})
    found = frame(comparisons(other, SUITE)).set_index(["row", "against"])
    assert found.loc[("ot", "independent"), "difference"] > 0


def test_declared_comparisons_are_all_that_is_compared(many):
    suite = declaring(("variational/fitted", ["variational"]), ("ot", ["independent"]))
    found = frame(comparisons(many, suite))
    assert list(found["row"]) == ["variational/fitted", "ot"]
    assert found["p_holm"].max() == pytest.approx(2 * 2 / 2**10)
    assert winners(comparisons(many, suite)) == {
        ("digits_small", "variational/fitted", "fid_classifier", "steps1")
    }


def test_the_best_row_is_not_bold_where_it_fails_one_comparison(many):
    suite = declaring(
        ("variational/fitted", ["independent"]),
        ("variational/fitted", ["ot"]),
    )
    assert winners(comparisons(many, suite))
    frame = many.frame.copy()
    best = frame[frame["coupling"] == "variational/fitted"]
    twin = best.assign(coupling="ot")
    alike = replace(many, frame=pd.concat([frame[frame["coupling"] != "ot"], twin]))
    assert not winners(comparisons(alike, suite))


ROW = ("ot", ["independent", "variational"])
EQUAL_TIME = declaring((*ROW, "steps"), (*ROW, "time"), matched={"digits_small": "longer"})


def with_longer(many, **protocol):
    """The scores, and 4 less of each in a longer training, scored by a `protocol` of its own."""
    longer, first = many.frame.copy(), many.protocols["digits_small"]
    longer["experiment"], longer["value"] = "longer", longer["value"] - 4
    other = first.model_validate({**first.content(), **protocol})
    return replace(
        many,
        frame=pd.concat([many.frame, longer]),
        protocols=many.protocols | {"longer": other},
        floors=many.floors | {"longer": many.floors["digits_small"]},
        experiments=many.experiments
        | {"longer": replace(many.experiments["digits_small"], experiment="longer")},
    )


def test_rivals_of_equal_time_are_those_of_the_matched_experiment(many):
    """They are 4 better there, which the row is not."""
    both, suite = with_longer(many), EQUAL_TIME
    steps, time = comparisons(both, suite)
    assert (steps.opponents, time.opponents) == ("digits_small", "longer")
    assert steps.is_better and not time.is_better
    assert time.pairs[0].mean == pytest.approx(steps.pairs[0].mean + 4)
    write_table(both, Path("results/some"), suite)
    assert "best of the others: independent (longer)" in Path("results/some/table.md").read_text()


REFERENCE = {"dataset": "digits", "split": "train", "size": 1297, "sha256": "00" * 32}


@pytest.mark.parametrize(
    ("protocol", "what"),
    [
        ({"num_samples": 500}, "num_samples"),
        ({"reference": REFERENCE}, "reference"),
        ({"extractor": None}, "extractor"),
        ({"metrics": ["kid_classifier"]}, "metrics"),
        ({"sampling_version": 1}, "sampling_version"),
        ({"schedules": {"steps1": [40.0]}}, "times of steps1"),
    ],
)
def test_scores_of_other_protocols_are_not_compared_in_equal_time(many, protocol, what):
    with pytest.raises(UserError, match=rf"digits_small and longer .* \(they differ in {what}\)"):
        comparisons(with_longer(many, **protocol), EQUAL_TIME)


@pytest.mark.parametrize(
    "protocol",
    [
        {"priors": ["standard", "late"]},
        {"ema": "constant 0.9"},
        {"schedules": {"steps1": [80.0], "steps2": [80.0, 9.0]}},
    ],
)
def test_other_rows_averages_and_later_times_change_no_comparison(many, protocol):
    expected = comparisons(with_longer(many), EQUAL_TIME)
    assert comparisons(with_longer(many, **protocol), EQUAL_TIME) == expected


def test_comparisons_of_an_experiment_without_runs_count(many, digits):
    suite = declaring(("ot", ["independent"]))
    later = replace(digits, experiment="longer")
    waiting = replace(many, declared=many.declared | {"longer": later})
    found = frame(comparisons(waiting, suite))
    assert list(found["n"]) == [10, 0] and found["p_holm"][0] == pytest.approx(2 * found["p"][0])
    write_table(waiting, Path("results/some"), suite)
    assert Path("results/some/table.md").read_text().count("| longer |") == 0
