"""The rule by which a reproduction agrees with a committed table."""

import csv
import io
import math

import pytest

from vct.lab.errors import UserError
from vct.lab.report.collect import collect
from vct.lab.report.reproduction import compare, read_rows, relative_spreads, tolerance
from vct.lab.report.summary import tidy
from vct.lab.report.table import to_csv


@pytest.fixture
def text(project, digits, li, mixture):
    return to_csv(tidy(collect([digits, li, mixture])))


def edited(text, where, **changes):
    """The table with columns replaced in the rows that agree with `where`."""
    rows = list(csv.DictReader(io.StringIO(text)))
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    hits = 0
    for row in rows:
        if all(row[key] == value for key, value in where.items()):
            row |= changes
            hits += 1
        writer.writerow(row)
    assert hits
    return out.getvalue()


def states(old, new):
    found = compare(read_rows(old, "old"), read_rows(new, "new"), {})
    return {finding.row: finding.state for finding in found}


OT = {"experiment": "digits_small", "coupling": "ot", "steps": "1"}
NAME = "digits_small/ot fid_classifier, 1 step"


def test_a_table_is_identical_to_itself(text):
    found = states(text, text)
    assert len(found) == len(text.splitlines()) - 1
    assert set(found.values()) == {"identical"}


def test_the_tolerance_worked_out_by_hand(text):
    """Means 63, 42, 52 with sd 3, 2, 2 over three seeds each."""
    rows = read_rows(text, "table")
    relative = relative_spreads(rows.values())["digits", "fid_classifier", "1"]
    pooled = math.sqrt(((3 / 63) ** 2 + (2 / 42) ** 2 + (2 / 52) ** 2) / 3)
    assert relative == pytest.approx(pooled, rel=1e-12)
    by_name = {row.name: row for row in rows.values()}
    own = tolerance(by_name["digits_small/independent fid_classifier, 1 step"], 3, relative)
    assert own == pytest.approx(4 * 3 * math.sqrt(2 / 3), rel=1e-12)  # 3 > 63 pooled
    few = tolerance(by_name["digits_small/variational fid_classifier, 1 step"], 2, relative)
    assert few == pytest.approx(4 * 52 * pooled * math.sqrt(1 / 3 + 1 / 2), rel=1e-12)
    borrowed = tolerance(by_name["digits_li/ot fid_classifier, 1 step"], 1, relative)
    assert borrowed == pytest.approx(4 * 70.5 * pooled * math.sqrt(2), rel=1e-12)


@pytest.mark.parametrize(
    ("mean", "expected"),
    [("48.5", "agrees"), ("35.5", "agrees"), ("48.6", "disagrees"), ("", "disagrees")],
)
def test_a_mean_within_the_spread_agrees(text, mean, expected):
    """42 with sd 2: up to 4 * 2 * sqrt(2 / 3) = 6.53 away."""
    found = states(text, edited(text, OT, mean=mean))
    assert found.pop(NAME) == expected
    assert set(found.values()) == {"identical"}


def test_the_spread_is_the_committed_one(text):
    """A reproduction that scatters does not widen what it is allowed."""
    assert states(text, edited(text, OT, mean="50", sd="20"))[NAME] == "disagrees"
    assert states(edited(text, OT, sd="20"), edited(text, OT, mean="50"))[NAME] == "agrees"


@pytest.mark.parametrize(
    "column", ["samples_sha256", "extractor_sha256", "reference_sha256", "floor", "seed1"]
)
def test_equal_means_of_other_files_or_seeds_are_not_called_identical(text, column):
    assert states(text, edited(text, OT, **{column: "0.5"}))[NAME] == "agrees"


@pytest.mark.parametrize("column", ["settings_sha256", "protocol_sha256", "versions"])
def test_rows_of_other_settings_are_not_compared(text, column):
    old, new = read_rows(text, "old"), read_rows(edited(text, OT, **{column: "other"}), "new")
    (finding,) = [each for each in compare(old, new, {}) if each.state != "identical"]
    assert (finding.row, finding.state) == (NAME, "not comparable")
    assert column in finding.detail


def test_no_spread_is_no_agreement(text):
    alone = {"experiment": "digits_small"}
    old = edited(text, alone, sd="", n="1")
    where = {"experiment": "digits_li", "coupling": "ot", "steps": "1"}
    name = "digits_li/ot fid_classifier, 1 step"
    assert states(old, edited(old, where, mean="70.6"))[name] == "disagrees"
    assert states(old, old)[name] == "identical"


def test_rows_on_one_side(text):
    lines = text.splitlines(keepends=True)
    fewer = "".join(line for line in lines if ",ot,fid_classifier,1," not in line)
    old, new = read_rows(text, "old"), read_rows(fewer, "new")
    missing = [each for each in compare(old, new, {("digits_li", "ot"): "it broke"})]
    assert {each.row: each.detail for each in missing if each.state == "missing"} == {
        NAME: "the reproduction has no such row",
        "digits_li/ot fid_classifier, 1 step": "it broke",
    }
    assert list(states(fewer, text).values()).count("new") == 2


def test_scores_that_are_not_finite_in_both_are_the_same(text):
    nan = edited(text, OT, mean="", sd="")
    assert states(nan, nan)[NAME] == "identical"
    assert states(nan, text)[NAME] == "disagrees"


def test_another_mid_time_is_another_protocol(project, digits, text):
    for coupling in digits.couplings:
        for seed in digits.seeds:
            path = project / f"results/digits_small/{coupling}/seed{seed}/protocol.json"
            path.write_text(path.read_text().replace("1.5", "1.6"))
    other = to_csv(tidy(collect([digits])))
    assert states(text, other)[NAME] == "not comparable"


def test_an_extractor_that_another_platform_trained_is_compared_and_named(project, digits, text):
    for path in (project / "results/digits_small").rglob("protocol.json"):
        path.write_text(path.read_text().replace("abab", "acac"))
    other = to_csv(tidy(collect([digits])))
    found = compare(read_rows(text, "old"), read_rows(other, "new"), {})
    (mine,) = [finding for finding in found if finding.row == NAME]
    assert mine.state == "agrees" and mine.detail.endswith("; extractor_sha256 differ")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("protocol_sha256", "sha", "no column protocol_sha256"),
        ("digits,ve", "digits,ve,extra", "damaged at line 2"),
        (",3,2.125,", ",x,2.125,", "damaged at line 2"),
        (",3,2.125,", ",0,2.125,", "damaged at line 2"),
    ],
)
def test_damaged_tables_are_refused(text, old, new, expected):
    assert old in text
    with pytest.raises(UserError, match=expected):
        read_rows(text.replace(old, new, 1), "table")


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "\x00\n", "x" * 200_000])
def test_what_is_no_table_is_refused(content):
    with pytest.raises(UserError, match=r"no column|is damaged"):
        read_rows(content, "table")


def test_a_table_without_rows_is_refused(text):
    with pytest.raises(UserError, match="no rows"):
        read_rows(text.splitlines()[0], "table")
