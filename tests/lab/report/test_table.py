"""The table against numbers worked out by hand."""

import csv
import json
import re
from dataclasses import replace

import pytest

from vct.lab.errors import UserError
from vct.lab.records import FloorRecord
from vct.lab.report.blocks import _cell, blocks
from vct.lab.report.collect import collect
from vct.lab.report.protocol import sha256
from vct.lab.report.summary import Spread, tidy
from vct.lab.report.table import escape, write_table
from vct.lab.settings.suite import SuiteSettings

SUITE = SuiteSettings(experiments=["any"])


@pytest.fixture
def written(project, digits, li, mixture, tmp_path):
    directory = tmp_path / "results/suite"
    write_table(collect([digits, li, mixture]), directory, SUITE)
    return directory


def csv_row(directory, **wanted):
    with (directory / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    assert len(found) == 1
    return found[0]


def md_row(directory, *head):
    start = "| " + " | ".join(head) + " |"
    lines = (directory / "table.md").read_text().splitlines()
    found = [line for line in lines if line.startswith(start)]
    assert len(found) == 1, found
    return [text.strip() for text in found[0][len(start) :].strip("|").split("|")]


def test_csv_has_mean_sample_sd_floor_and_every_seed(written):
    row = csv_row(written, coupling="independent", experiment="digits_small", steps="1")
    assert float(row["mean"]) == 63.0  # of 60, 66, 63
    assert float(row["sd"]) == 3.0  # sqrt((9 + 9 + 0) / 2)
    assert (row["n"], float(row["floor"])) == ("3", 2.125)
    assert [float(row[f"seed{k}"]) for k in range(3)] == [60, 66, 63]
    assert (row["num_samples"], row["extractor_sha256"]) == ("2000", "ab" * 32)
    samples = row["samples_sha256"].split(" ")
    assert len(set(samples)) == 3 and {len(each) for each in samples} == {64}
    assert row["versions"] == "training 1 sampling 2 scoring 2"


def test_csv_keeps_full_precision(written):
    row = csv_row(written, experiment="mixture", metric="w2", steps="1")
    assert float(row["mean"]) == pytest.approx(0.15, rel=1e-15)
    assert float(row["sd"]) == pytest.approx(0.1 / 2**0.5, rel=1e-15)


def test_one_seed_has_no_spread(written):
    row = csv_row(written, experiment="digits_li", coupling="ot", steps="2")
    assert (row["mean"], row["sd"], row["n"], row["seed1"]) == ("60.25", "", "1", "")
    assert md_row(written, r"digits\_li", "LI", "iCT", "minibatch OT")[:2] == [
        "70.5 (1)",
        "60.2 (1)",
    ]


def test_markdown_rows(written):
    head = (r"digits\_small", "VE", "iCT")
    assert md_row(written, *head, "independent")[:2] == ["63.0 ± 3.0 (3)", "52.0 ± 2.0 (3)"]
    assert md_row(written, *head, "independent")[2:] == ["–"]
    # 42 ± 2 lies clear of 52 ± 2; 40 ± 10 does not of 46 ± 2
    assert md_row(written, *head, "minibatch OT")[:2] == ["42.0 ± 2.0 (3)", "40.0 ± 10.0 (3)"]
    assert md_row(written, *head, "variational")[2] == "0.800 ± 0.000 (3)"
    assert md_row(written, "held-out real data (500)", "", "", "")[:2] == ["2.1", "2.1"]


def test_points_show_the_mass_of_each_mode_in_one_column(written):
    cells = md_row(written, "mixture", "VE", "ECM", "independent")
    assert cells[0] == "0.150 ± 0.071 (2)"
    assert cells[4] == "0.470 / 0.450 (2)"
    assert md_row(written, "held-out real data (2048)", "", "", "")[0] == "0.010"


def test_a_block_ends_with_its_protocol(written):
    text = (written / "table.md").read_text()
    digits, mixture = (line for line in text.splitlines() if line.startswith("Protocol: "))
    assert r"extractor digits\_classifier (features 64, sha256 abababab)" in digits
    assert "reference digits train, 1297 items (sha256 cdcdcdcd); 2000 samples per run" in digits
    assert (
        r"sampler times: 1 step at 80, 2 steps at 80 and 1.5 (digits\_small) / "
        r"1 step at 80, 2 steps at 80 and 0.8 (digits\_li);" in digits
    )
    assert "EMA constant 0.999; sampling seed 0, gaussian noise, pools of 500." in digits
    assert (
        "no feature extractor" in mixture
        and "sampler times: 1 step at 80, 2 steps at 80 and 1.5;" in mixture
    )


def with_protocol(collected, experiment, **entries):
    """The same scores of an experiment, measured otherwise."""
    changed = collected.protocols[experiment].model_copy(update=entries)
    return replace(collected, protocols={**collected.protocols, experiment: changed})


def test_other_extractors_references_counts_and_extras_get_blocks_of_their_own(project, digits, li):
    found = collect([digits, li])
    assert [len(block.groups) for block in blocks(found)] == [2]
    protocol = found.protocols["digits_li"]
    for entries in (
        {"extractor": protocol.extractor.model_copy(update={"sha256": "ac" * 32})},
        {"reference": protocol.reference.model_copy(update={"sha256": "ce" * 32})},
        {"num_samples": 9},
        {"pool": 9},
        {"sample_seed": 9},
        {"noise": "sobol"},
        {"version": 9},
        {"extras": {"kid": {"subset_size": 400}}},
    ):
        changed = blocks(with_protocol(found, "digits_li", **entries))
        assert [len(block.groups) for block in changed] == [1, 1]


def test_other_times_averages_and_files_share_a_block(project, digits, li):
    found = collect([digits, li])
    for entries in ({"schedules": {"steps1": [1.0]}}, {"ema": "power 0.1"}, {"files": None}):
        assert len(blocks(with_protocol(found, "digits_li", **entries))) == 1


def test_a_protocol_has_one_hash_on_all_machines(project, digits):
    """Without what another version or another machine's weights and data are; with all else."""
    protocol = collect([digits]).protocols["digits_small"]
    extractor, reference = protocol.extractor, protocol.reference
    whole = sha256(protocol)
    for same in (
        {"version": 9, "sampling_version": 9, "files": None},
        {"extractor": extractor.model_copy(update={"sha256": "ac" * 32})},
        {"reference": reference.model_copy(update={"sha256": "ce" * 32})},
    ):
        assert sha256(protocol.model_copy(update=same)) == whole
    for other in (
        {"extractor": extractor.model_copy(update={"name": "other"})},
        {"reference": reference.model_copy(update={"size": 9})},
        {"reference": reference.model_copy(update={"split": "test"})},
        *({"num_samples": 9}, {"pool": 9}, {"sample_seed": 9}, {"noise": "sobol"}),
        *({"ema": "power 0.1"}, {"schedules": {"steps1": [1.0]}}, {"extras": {"kid": {}}}),
    ):
        assert sha256(protocol.model_copy(update=other)) != whole


def test_a_row_is_the_mean_and_the_sample_deviation():
    spread = Spread((1.0, 2.0, 6.0))
    assert (spread.n, spread.mean, spread.sd) == (3, 3.0, pytest.approx(7**0.5))


def test_floors_that_differ_are_printed_by_experiment(project, digits, li):
    found = collect([digits, li])
    other = FloorRecord(scores={"fid_classifier": 3.0}, num_samples=500)
    found = replace(found, floors={**found.floors, "digits_li": other})
    floors = tidy(found).set_index(["experiment", "metric"])["floor"]
    assert set(floors["digits_small", "fid_classifier"]) == {2.125}
    assert set(floors["digits_li", "fid_classifier"]) == {3.0}
    heads = [row.head[0] for row in blocks(found)[0].floors]
    assert heads == [
        "held-out real data (500), digits_small",
        "held-out real data (500), digits_li",
    ]


def test_a_run_that_diverged_is_shown_and_never_left_out(project, digits, tmp_path, scored_again):
    path = project / "results/digits_small/ot/seed1/metrics.json"
    path.write_text('{"steps1": {"fid_classifier": null}, "steps2": {"fid_classifier": 50}}')
    scored_again(path.parent)
    write_table(collect([digits]), tmp_path, SUITE)
    row = csv_row(tmp_path, coupling="ot", steps="1")
    assert (row["mean"], row["sd"], row["n"]) == ("", "", "3")
    assert md_row(tmp_path, r"digits\_small", "VE", "iCT", "minibatch OT")[0] == (
        "not finite in 1 of 3 (3)"
    )
    assert "**" not in (tmp_path / "table.md").read_text()


def test_latex_is_ascii_and_escaped(written):
    text = (written / "table.tex").read_text()
    text.encode("ascii")
    assert r"digits\_small & VE & iCT & minibatch OT & 42.0 $\pm$ 2.0 (3)" in text
    assert not re.search(r"(?<!\\)_", text)
    for name in ("toprule", "bottomrule", "cmidrule(lr){5-6}", "multicolumn{2}{c}"):
        assert "\\" + name in text
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2
    bodies = re.findall(r"\\begin{tabular}{(l+)(r+)}.*?\\midrule\n(.*?) \\\\", text, re.DOTALL)
    for left, right, row in bodies:
        assert row.count(" & ") + 1 == len(left) + len(right)


def test_latex_escapes_all_special_characters():
    assert escape("a_b 5% #1 & {x} ~^\\$") == (
        r"a\_b 5\% \#1 \& \{x\} \textasciitilde{}\textasciicircum{}\textbackslash{}\$"
    )


def test_same_results_same_bytes(project, digits, mixture, tmp_path):
    for name in ("a", "b"):
        write_table(collect([digits, mixture]), tmp_path / name, SUITE)
    for suffix in ("csv", "md", "tex"):
        first, second = ((tmp_path / name / f"table.{suffix}").read_bytes() for name in ("a", "b"))
        assert first == second and b"\r" not in first


def test_an_empty_suite_is_refused(tmp_path):
    with pytest.raises(UserError, match="names no runs"):
        write_table(collect([]), tmp_path, SUITE)


# --- more than one metric --------------------------------------------------------------------

EXTRAS = {
    "kid": {"subsets": 100, "subset_size": 500, "seed": 2020},
    "precision_recall": {"neighbours": 3},
}
MORE = {"kid_classifier": 1e-4, "precision_classifier": 0.01, "recall_classifier": -0.01}
"""What each unit of the Fréchet distance adds to the others."""


@pytest.fixture
def with_extras(project, digits, scored_again, tmp_path):
    """The experiment `digits`, whose runs have three more numbers for each number of steps."""
    for directory in (project / "results/digits_small").glob("*/seed*"):
        metrics = json.loads((directory / "metrics.json").read_text())
        for scores in metrics.values():
            if isinstance(scores, dict):
                distance = scores["fid_classifier"]
                scores |= {name: factor * distance for name, factor in MORE.items()}
        (directory / "metrics.json").write_text(json.dumps(metrics))
        path = directory / "protocol.json"
        content = json.loads(path.read_text())
        content |= {"metrics": ["fid_classifier", *MORE], "extras": EXTRAS}
        path.write_text(json.dumps(content))
        scored_again(directory)
    directory = tmp_path / "results/more"
    write_table(collect([digits]), directory, SUITE)
    return directory


def test_each_metric_has_its_columns_in_the_order_of_the_protocol(with_extras):
    (header,) = [
        line for line in (with_extras / "table.md").read_text().splitlines() if "FD" in line
    ]
    headings = [text.strip().split(" ")[0] for text in header.strip("|").split("|")][4:]
    assert headings == [*["FD"] * 2, *["KD"] * 2, *["precision"] * 2, *["recall"] * 2, "aggregate"]
    assert re.findall("[↓↑]", header) == list("↓↓↓↓↑↑↑↑")


def test_kernel_distances_have_the_digits_that_they_need(with_extras):
    cells = md_row(with_extras, r"digits\_small", "VE", "iCT", "minibatch OT")
    assert cells[2] == "0.00420 ± 0.00020 (3)"  # 1e-4 times 40, 42, 44
    assert cells[4] == "0.420 ± 0.020 (3)"


def test_the_caption_explains_arrows_that_are_there(written):
    said = (written / "table.md").read_text()
    assert "↓: less is better." in said and "↑" not in said


def test_caption_and_protocol_explain_what_is_there(with_extras):
    assert "↓: less is better, ↑: more is better." in (with_extras / "table.md").read_text()
    said = (with_extras / "table.md").read_text()
    assert "kid: seed 2020, subset size 500, subsets 100; precision recall: neighbours 3;" in said
    assert r"precision (classifier) $\uparrow$" in (with_extras / "table.tex").read_text()


@pytest.mark.parametrize("scores", [(-1e-6,), (-1e-6, 1e-6, -3e-6)])
def test_no_number_is_minus_zero(scores):
    """As kernel distances of equal distributions would be, half of the time."""
    assert _cell([Spread(scores)], 5, False).body.startswith("0.00000")
    assert _cell([Spread(scores)] * 2, 5, False).body == "0.00000 / 0.00000"
