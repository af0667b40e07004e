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
ROWS = {
    "independent noise": "independent",
    "minibatch OT": "ot",
    "variational": "variational",
    "variational, as published": "variational",
    "variational, fitted prior": "variational/fitted",
    "`model_ot`, of this project": "model-ot",
}
DEFAULT = {  # experiment, metric, steps of the columns of the default suite's table
    "mixture, 1 step": ("mixture", "w2", 1),
    "mixture, 2 steps": ("mixture", "w2", 2),
    "digits, 1 step": ("digits", "fid_digits-classifier", 1),
    "digits, 2 steps": ("digits", "fid_digits-classifier", 2),
}
STUDY = {  # experiments of the columns of the study's table: of `model_ot`, and of the others
    "digits, 8 px": ("study-digits-1x",),
    "digits, equal time": ("study-digits-uses4", "study-digits-uses4-time"),
    "MNIST, 14 px": ("study-mnist14",),
    "14 px, equal time": ("study-mnist14-2x", "study-mnist14-2x-time"),
}
RESULTS = pd.read_csv(ROOT / "results/cpu/table.csv")
TABLE = pd.read_csv(ROOT / "results/study/table.csv")
COMPARED = pd.read_csv(ROOT / "results/study/comparisons.csv").query("n > 0")


def cells(column):
    """Coupling, column and text of each cell of the table that has the column."""
    tables = [block for block in README.split("\n\n") if block.startswith("|")]
    (lines,) = [block.splitlines() for block in tables if column in block]
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [
        (row[0], name, cell) for row in rows for name, cell in zip(head[1:], row[1:], strict=True)
    ]


def spread(one, decimals):
    return f"{one['mean']:.{decimals}f} ± {one['sd']:.{decimals}f}"


def scored(frame, experiments, row, steps=1):
    """The rows of a coupling's first metric, of those experiments that have it."""
    here = frame.experiment.isin(experiments) & (frame.coupling == ROWS.get(row, row))
    return frame[here & (frame.steps == steps)]


def test_it_is_short():
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize(("row", "column", "text"), cells("digits, 2 steps"))
def test_numbers_of_the_default_suite_are_the_committed_ones(row, column, text):
    experiment, metric, steps = DEFAULT[column]
    found = scored(RESULTS[RESULTS.metric == metric], [experiment], row, steps).iloc[0]
    assert text == spread(found, 1 if found["mean"] >= 10 else 3) and found["n"] == 3


def test_real_data_score_what_was_recorded():
    floors = [RESULTS[RESULTS.metric == name].floor.iloc[0] for _, name, _ in DEFAULT.values()]
    assert f"score {floors[0]:.3f} and {floors[-1]:.1f}." in README
    floors = [TABLE[TABLE.experiment == name].floor.iloc[0] for name, *_ in STUDY.values()]
    assert f"images have {floors[0]:.1f} and {floors[2]:.1f}." in README


@pytest.mark.parametrize(("row", "column", "text"), cells("digits, 8 px"))
def test_numbers_of_the_study_are_the_committed_ones(row, column, text):
    found = scored(TABLE, STUDY[column], row)
    if text == "–":
        assert not len(found[found.n == 12])
        return
    (one,) = [one for _, one in found.iterrows()]
    assert text.strip("*") == spread(one, 1) and one["n"] == 12
    assert text.startswith("**") == (ROWS[row] == "model-ot")


@pytest.mark.parametrize("column", STUDY)
def test_what_is_bold_is_decided(column):
    """By the declared comparison with all others of the column."""
    experiment, opponents = STUDY[column][0], STUDY[column][-1]
    of = (COMPARED.experiment == experiment) & (COMPARED.row == "model-ot")
    (lead,) = COMPARED[of & (COMPARED.opponents == opponents)].itertuples()
    assert lead.difference < 0 and lead.p_holm < 0.01 and lead.n == 12
    against = set(lead.against.split())
    shown = {ROWS[row] for row, name, text in cells(column) if name == column and text != "–"}
    assert shown - {"model-ot", "variational/fitted"} <= against


def test_what_speaks_against_it_is_said():
    for row in ("ot", "independent"):
        (one,) = [one for _, one in scored(TABLE, ["study-digits-time"], row).iterrows()]
        assert spread(one, 1) in README and one["n"] == 12
    timed = COMPARED[COMPARED.opponents == "study-digits-time"].set_index("row")["difference"]
    assert timed["model-ot"] > 0 and timed["variational"] > 0, "the leads that the README denies"
    assert COMPARED[COMPARED.experiment == "study-mnist14-uses4"].p_holm.iloc[0] > 0.05


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
