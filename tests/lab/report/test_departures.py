"""The line on what was published: true of the settings as they are, and of no others."""

from dataclasses import replace

import pytest
from support import ROOT, real_params, section

from vct.lab.report.blocks import blocks
from vct.lab.report.collect import ExperimentRows, collect
from vct.lab.report.published import PUBLISHED, departures, sentence
from vct.lab.report.table import latex, markdown
from vct.lab.settings import reading
from vct.lab.settings.suite import SuiteSettings

PARAMS = reading.load(ROOT / "params.yaml")
SCORING = (
    "samples rounded to 8 bits (truncated)",
    "scored by torch-fidelity (torchmetrics)",
    "the last weights scored (the best of a training)",
)

SUITE = SuiteSettings(experiments=["any"])


def ot(pool, batch):
    return f"pool of OT {pool} (500)", f"OT over all {batch} of a batch (per device)"


GENERATED = "generator-augmented rows with these settings (arXiv 2406.09570 has its own)"
CONDITIONAL = (
    "old weights count beta in the EMA, as in EDM2 (1 - beta: nearly the last weights)",
    "classes in turn (at random)",
)


@pytest.mark.parametrize("name", PARAMS.suite("paper"))
def test_settings_of_suite_paper_are_the_published_ones(name):
    """But for what was published by device, and what the metric and the pipeline are."""
    batch = 512 if name.startswith("ict-cifar10") else 128
    generated = (GENERATED,) if name == "ict-cifar10-ve" else ()
    conditional = CONDITIONAL if "imagenet" in name else ()
    expected = (*ot(batch, batch), *generated, *conditional, *SCORING)
    assert departures(PARAMS.experiment(name)) == expected


def test_those_of_the_digits():
    assert departures(PARAMS.experiment("digits")) == (
        "s1 160 (1280)",
        "distance norm (per-element)",
        "dropout 0 (0.3)",
        "kl_weight 5 (30)",
        "optimiser adam at 0.003, cosine (radam at 0.0001)",
        "EMA constant 0.98 (constant 0.9999)",
        "mid time 1.5 (0.821)",
        "sigma_data 0.75 (0.5)",
        "clipping of variational gradients none (200)",
        "std of new encoders 1 (0.6931)",
        "pool of OT 64 (500)",
        "OT over all 64 of a batch (per device)",
        "rows of a fitted prior or the aggregate posterior (N(0, I))",
        *SCORING,
    )


ICT, ECM, LARGE = "ict-cifar10-ve", "ecm-cifar10-ve", "ecm-imagenet64-li"


@pytest.mark.parametrize(
    ("name", "key", "value", "expected"),
    [
        (ICT, "train.objective.s0", 20, "s0 20 (10)"),
        (ICT, "train.objective.s1", 640, "s1 640 (1280)"),
        (ICT, "train.objective.p_mean", -1.0, "P_mean -1 (-1.1)"),
        (ICT, "train.objective.p_std", 1.9, "P_std 1.9 (2)"),
        (ICT, "train.objective.distance", "norm", "distance norm (per-element)"),
        (ICT, "train.network.dropout", 0.1, "dropout 0.1 (0.3)"),
        (ICT, "train.optimizer.kind", "adam", "optimiser adam at 0.0001 (radam at 0.0001)"),
        (ICT, "train.ema.decay", 0.999, "EMA constant 0.999 (constant 0.9999)"),
        (ICT, "sample.mid_times", [2.0, 0.5], "mid time 2, 0.5 (0.821)"),
        (ICT, "sample.pool", 500, None),
        (ICT, "couplings.variational.kl_weight", 3, "kl_weight 3 and 30 (30)"),
        (
            ICT,
            "couplings.variational.initial_std",
            1.0,
            "std of new encoders 0.6931 and 1 (0.6931)",
        ),
        ("ict-cifar10-li", "couplings.ot.over", "device", None),
        (ECM, "train.objective.stages", 4, "stages 4 (8)"),
        (ECM, "train.objective.q", 3, "q 3 (2)"),
        (ECM, "train.objective.c", 0.03, "c 0.03 (0)"),
        (ECM, "train.objective.weight", "edm", "weight edm (consistency)"),
        (ECM, "couplings.variational.kl_weight", 30, "kl_weight 30 (10)"),
        (
            ECM,
            "couplings.variational.clip_grad_norm",
            None,
            "clipping of variational gradients none (200)",
        ),
        (ECM, "couplings.ot.pool", 4, "OT over pools of 4 batches (one)"),
        (
            ECM,
            "couplings.variational.prior",
            "moments",
            "a variational coupling held near its own moments (N(0, I))",
        ),
        (LARGE, "train.objective.stages", 8, "stages 8 (4)"),
        (LARGE, "train.ema.width", 0.05, "EMA power 0.05 (power 0.1)"),
        (LARGE, "couplings.variational.kl_weight", 10, "kl_weight 10 (90)"),
    ],
)
def test_a_changed_setting_is_named_and_nothing_else(name, key, value, expected):
    content = real_params()
    *path, last = key.split(".")
    section(content["experiments"][name], path)[last] = value
    before, now = (
        departures(each.experiment(name)) for each in (PARAMS, reading.validate(content))
    )
    assert [entry for entry in now if entry not in before] == ([expected] if expected else [])
    assert set(before) <= set(now) if expected else set(now) < set(before)


def test_a_coupling_of_this_project_is_named():
    content = real_params()
    before = departures(PARAMS.experiment(ICT))
    content["experiments"][ICT]["couplings"]["ot"] = {"kind": "model_ot", "pool": 4}
    now = departures(reading.validate(content).experiment(ICT))
    new = set(now) - set(before)
    assert "rows of transport to what the model makes (a coupling of this project)" in new
    assert "OT over pools of 4 batches (one)" in new
    assert not any("generator-augmented" in each for each in new)


def test_objectives_that_were_not_published_have_no_line():
    assert departures(PARAMS.experiment("cifar10-edm")) == ()
    assert sentence({"cifar10-edm": ()}) == ""


def test_what_experiments_share_stands_first():
    found = sentence({"one": ("a 1 (2)", "b 1 (2)"), "two": ("c 1 (2)", "a 1 (2)"), "three": ()})
    assert found == (
        "Otherwise than published (in brackets): one, two: a 1 (2); one: b 1 (2); two: c 1 (2)."
    )
    assert sentence({"one": ("a 1 (2)",), "two": ("a 1 (2)",)}).endswith("(in brackets): a 1 (2).")


@pytest.mark.parametrize("write", [markdown, latex])
def test_the_line_stands_under_each_table_that_has_one(project, digits, mixture, write):
    own = replace(digits, departures=("s1 160 (1280)", "kl_weight 5 (30)"))
    found, bare = (blocks(collect([each, mixture])) for each in (own, digits))
    assert [bool(block.published) for block in found] == [True, False]
    line = "Otherwise than published (in brackets): s1 160 (1280), kl\\_weight 5 (30)."
    text, without = write(found, "caption"), write(bare, "caption")
    assert text.count(line) == 1 and line not in without
    assert text.index("Protocol: ") < text.index(line) < text.rindex("Protocol: ")


def test_rows_of_an_experiment_bring_them():
    rows = ExperimentRows.of("digits", PARAMS.experiment("digits"))
    assert rows.departures == departures(PARAMS.experiment("digits"))


def test_the_documents_give_the_same_numbers():
    """Each number of the record, and each that suite cpu has instead, in its row of the table."""
    lines = (ROOT / "docs/paper.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.split("|")] for line in lines if line.count("|") == 5]
    table = {name: (published, cpu) for _, name, published, _, cpu, _ in cells}
    for kind, values in PUBLISHED.items():
        for name, value in values.items():
            text = value if isinstance(value, str) else f"{value:g}"
            assert text in table[name][0], (kind, name)
    for experiment in PARAMS.suite("cpu"):
        for entry in departures(PARAMS.experiment(experiment)):
            name = next((name for name in table if entry.startswith(f"{name} ")), None)
            if name is not None:
                here = entry.removeprefix(f"{name} ").rpartition(" (")[0]
                assert here in table[name][1], (experiment, entry)
