"""The README is short, shows committed numbers and the example, and its links lead somewhere."""

import re

import pandas as pd
import pytest
from support import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [
    path
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/*.md", "tests/cluster/*.md")
    for path in sorted(ROOT.glob(pattern))
    if "_build" not in path.parts
]
COUPLINGS = {
    "independent": "independent",
    "minibatch OT": "ot",
    "variational": "variational",
    "variational, fitted prior": "variational/fitted",
}
METRICS = {"2-Wasserstein": "w2", "FD (digits-classifier)": "fid_digits-classifier"}


def table():
    """Rows of the README's table of results, by column."""
    lines = [line for line in README.splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(head, row, strict=True)) for row in rows]


def recorded(row, metric, steps):
    """The cell that the committed numbers give: mean ± sd (seeds), or a dash."""
    frame = pd.read_csv(ROOT / "results/cpu/table.csv")
    here = (frame.experiment == row["data"]) & (frame.coupling == COUPLINGS[row["coupling"]])
    at = frame.steps == steps if steps else frame.steps.isna()
    found = frame[here & (frame.metric == metric) & at]
    if found.empty:
        return "–"
    one = found.iloc[0]
    digits = 1 if one["mean"] >= 10 else 3
    return f"{one['mean']:.{digits}f} ± {one['sd']:.{digits}f} ({one['n']:.0f})"


def test_it_is_short():
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("row", table(), ids=lambda row: f"{row['data']}-{row['coupling']}")
def test_numbers_are_the_committed_ones(row):
    assert len(row) <= 6
    metric = METRICS[row["distance ↓"]]
    assert row["1 step"] == recorded(row, metric, 1)
    assert row["2 steps"] == recorded(row, metric, 2)
    assert row["aggregate variance"] == recorded(row, "aggregate_variance", None)


def test_real_data_score_what_was_recorded():
    frame = pd.read_csv(ROOT / "results/cpu/table.csv")
    floors = [frame[frame.metric == metric].floor.iloc[0] for metric in METRICS.values()]
    assert f"score {floors[0]:.3f} and {floors[1]:.1f}." in README


def test_the_verdict_is_the_committed_one():
    frame = pd.read_csv(ROOT / "results/study/table.csv")
    digits = frame[(frame.experiment == "study-digits-1x") & (frame.steps == 1)]
    for row in ("model-ot", "ot", "variational", "independent", "variational/fitted"):
        one = digits[digits.coupling == row].iloc[0]
        assert f"{one['mean']:.1f} ± {one['sd']:.1f}" in README and one["n"] == 12
    found = pd.read_csv(ROOT / "results/study/comparisons.csv").query("n > 0")
    decided = found[(found.experiment == "study-digits-1x") & (found.opponents == found.experiment)]
    assert len(decided) == 5
    assert set(decided.p_holm.round(3)) == {float(README.split("p = ")[1].split()[0])}
    longer = frame[(frame.experiment == "study-digits-time") & (frame.steps == 1)]
    for row in ("ot", "independent"):
        one = longer[longer.coupling == row].iloc[0]
        assert f"{one['mean']:.1f} ± {one['sd']:.1f}" in README and one["n"] == 12
    timed = found[(found.opponents == "study-digits-time")].set_index("row")["difference"]
    assert timed["model-ot"] > 0 and timed["variational"] > 0, "the leads that the README denies"
    again = found[found.experiment == "study-digits-uses4"].iloc[0]
    assert again.n == 12 and again.best == "ot" and again.difference < 0
    assert f"(p = {again.p_holm:.4f})" in README
    for experiment, row in (("study-digits-uses4", "model-ot"), ("study-digits-uses4-time", "ot")):
        same = (frame.experiment == experiment) & (frame.coupling == row) & (frame.steps == 1)
        one = frame[same].iloc[0]
        assert f"{one['mean']:.1f} ± {one['sd']:.1f}" in README
    small = found.set_index(["experiment", "row", "against"]).loc["study-mnist14"].loc["model-ot"]
    assert f"leads by {-small.difference.iloc[0]:.1f} at equal" in README
    assert found[found.experiment == "study-mnist14-uses4"].p_holm.iloc[0] > 0.05


def test_the_loop_is_the_example():
    block = re.search(r"<!-- (examples/\S+) -->\n```python\n(.*?)```", README, re.DOTALL)
    assert block
    example = ROOT / block[1]
    assert block[2] == example.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    local = [target for target in targets if target and "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []
