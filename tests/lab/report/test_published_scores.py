"""Published scores stand beside ours where data, judge and number of samples are the same."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support import ROOT

from vct.lab.records import ProtocolRecord
from vct.lab.report import published
from vct.lab.report.blocks import blocks
from vct.lab.report.collect import ExperimentRows, collect
from vct.lab.report.table import latex, markdown
from vct.lab.settings import reading

PARAMS = reading.load(ROOT / "params.yaml")
CIFAR10 = published.Benchmark("CIFAR-10", 50_000)
IMAGENET = published.Benchmark("ImageNet 64", 50_000)


def test_the_data_of_published_scores_are_known_by_their_settings():
    found = {
        name: published.benchmark(data, name == "imagenet64")
        for name, data in PARAMS.datasets.items()
    }
    known = {name: (data.name, data.images) for name, data in found.items() if data}
    assert known == {
        "cifar10": ("CIFAR-10", 50_000),
        "imagenet64": ("ImageNet 64", 1_281_167 - 10_000),  # those held out
    }
    own = PARAMS.datasets["imagenet64"].model_copy(update={"test": "own"})
    assert published.benchmark(own, True).images == 1_281_167
    trial = PARAMS.datasets["cifar10"].model_copy(update={"limit": 192})
    assert published.benchmark(trial, False) is None
    assert published.benchmark(PARAMS.datasets["cifar10"], True) is None
    assert published.benchmark(own, False) is None


def test_rows_of_the_suite_know_their_benchmark():
    found = {each.experiment: each.benchmark for each in ExperimentRows.of_suite(PARAMS, "paper")}
    assert found["ecm-cifar10-ve"] == found["ict-cifar10-li"] == CIFAR10
    assert found["ecm-imagenet64-li"].name == "ImageNet 64" and found["ecm-ffhq64-ve"] is None


@pytest.fixture
def judged(project, digits, scored_again):
    """Scores the runs of `digits` anew, by another extractor or with more samples."""

    def judge(kind="inception", count=50_000, images=50_000) -> ExperimentRows:
        for path in Path("results/digits_small").glob("*/*/protocol.json"):
            content = json.loads(path.read_text())
            content["extractor"]["kind"], content["num_samples"] = kind, count
            content["reference"]["size"] = images
            path.write_text(json.dumps(content))
            scored_again(path.parent)
        return replace(digits, benchmark=CIFAR10)

    return judge


def test_published_scores_stand_in_the_columns_of_their_steps(judged):
    (block,) = blocks(collect([judged()]))
    sampling = [column.sampling for column in block.columns]
    found = {row.head[0]: [cell.body for cell in row.cells] for row in block.references}
    assert sampling[:2] == ["1 step", "2 steps"]
    assert found == {
        "published: iCT (arXiv 2310.14189)": ["2.83", "2.46", "–"],
        "published: VCT, its best (arXiv 2502.18197)": ["–", "2.02", "–"],
    }
    text = markdown([block], "")
    assert "| published: iCT (arXiv 2310.14189) |  |  |  | 2.83 | 2.46 | – |" in text
    assert r"\multicolumn{4}{l}{published: iCT (arXiv 2310.14189)} & 2.83 & 2.46" in latex(
        [block], ""
    )


@pytest.mark.parametrize("other", [{"kind": "classifier"}, {"count": 2000}, {"images": 49_999}])
def test_under_another_protocol_nothing_was_published(judged, other):
    (block,) = blocks(collect([judged(**other)]))
    assert block.references == ()


def test_what_is_published_of_other_objectives_and_couplings_is_left_out(judged):
    rows = judged()
    path = Path("results/digits_small/ot/seed0/protocol.json")
    protocol = ProtocolRecord.model_validate_json(path.read_text())
    of = {"independent": "independent"}
    ecm = replace(rows, objective="ecm", couplings=of)
    (only,) = published.scores(CIFAR10, protocol, [ecm.objective], list(ecm.couplings))
    assert only.name == "ECM" and dict(only.scores) == {"steps1": 3.6, "steps2": 2.11}
    small, best = published.scores(IMAGENET, protocol, ["ecm"], ["independent", "variational"])
    assert small.scores == {"steps1": 5.51, "steps2": 3.18} and best.scores == {"steps2": 3.07}
    (small,) = published.scores(IMAGENET, protocol, ["ecm"], ["independent"])
    assert published.scores(None, protocol, ["ict"], ["independent"]) == []
