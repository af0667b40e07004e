"""A table shows what params.yaml and this program would make, and no other run."""

import shutil
import sys
from pathlib import Path

import pytest
import yaml
from support import params

from vct.lab import cli
from vct.lab.files.layout import RunId
from vct.lab.runs.current import is_current
from vct.lab.settings import reading

RUN = "pictures/ot/seed3"
OWN = '''
from vct.lab.metrics.base import Label, Metric
from vct.samplers.base import Sampler


class Spread(Metric):
    """Deviation of the samples, to a power."""

    labels = {"spread": Label(label="spread", lower_is_better=True)}

    def __init__(self, reference, power=2):
        self.power = power

    def compute(self, samples):
        return {"spread": float(samples.std()) ** self.power}


class Other(Spread):
    """The same, under another name."""


class Once(Sampler):
    """One step, of noise that is made larger."""

    noises = 1

    def __init__(self, t_max, factor=1.0):
        self.t_max, self.factor = t_max, factor
        self.schedules = {"once1": [t_max]}

    def __call__(self, f, coupling, noise, labels=None):
        t = noise[0].new_full((len(noise[0]),), self.t_max)
        yield f(self.factor * self.t_max * noise[0], t, labels)
'''


def project(folder, monkeypatch, **changes):
    """The pictures of a small project in a folder, with one run."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "judged", raising=False)
    (folder / "judged.py").write_text(OWN)
    content = params(
        {
            "runtime.tracking": False,
            "experiments.pictures.train.steps": 4,
            "experiments.pictures.train.snapshots": 1,
            "experiments.pictures.sample.num_samples": 70,
            "suites": {"cpu": ["small"], "some": ["pictures"]},
            **changes,
        }
    )
    Path("params.yaml").write_text(yaml.safe_dump(content))


STAGES = (
    "extractor judge",
    "statistics images/judge/moments",
    f"sample {RUN}",
    f"score {RUN}",
    "floor pictures",
    "keep some",
)


def run(*stages):
    for stage in stages:
        assert cli.main(stage.split()) == 0, stage


@pytest.fixture
def scored(tmp_path, monkeypatch):
    """A run scored by a classifier, and kept."""
    project(tmp_path / "project", monkeypatch)
    run("data images", f"train {RUN}", *STAGES)


def changed(place, value):
    """params.yaml with another value at a place such as "datasets.points.train"."""
    settings = part = yaml.safe_load(Path("params.yaml").read_text())
    *sections, key = place.split(".")
    for name in sections:
        part = part[name]
    part[key] = value
    Path("params.yaml").write_text(yaml.safe_dump(settings))


def current():
    """Whether the run is current, here and as it was kept."""
    here = RunId.parse(RUN)
    return tuple(is_current(reading.load(), each) for each in (here, here.kept("some")))


def test_scores_of_another_extractor_are_not_shown(scored, capsys):
    assert current() == (True, True)
    changed("extractors.judge.width", 4)
    assert current() == (True, False)  # here nobody can know before its stage has run
    run("extractor judge")
    assert current() == (False, False)
    capsys.readouterr()
    assert cli.main(["table", "some"]) == 2
    said = capsys.readouterr().err
    assert "scored by another extractor; make it again: vct extractor judge; vct score" in said
    run(*STAGES[1:])
    assert current() == (True, True), "what is kept is what scored"
    run("table some")
    changed("extractors.judge.width", 32)
    shutil.rmtree("results/extractors")
    assert current() == (True, False)


def test_data_are_those_that_are_described(scored):
    changed("datasets.images.test", 501)
    assert current() == (False, False)
    run("data images")
    assert current() == (False, False)
    run(f"train {RUN}", *STAGES)
    shutil.rmtree("data")
    assert current() == (True, True), "what is kept of the data is that of the runs"
    changed("datasets.images.test", 500)
    assert current()[1] is False


def test_whole_numbers_of_data_that_are_here_decide(scored):
    """As after files of images were exchanged: settings know nothing of them."""
    meta = Path("data/images/meta.json")
    text = meta.read_text()
    meta.write_text(text.replace(yaml.safe_load(text)["sha256"], "0" * 64))
    assert current() == (False, False)


@pytest.mark.parametrize(
    ("place", "value"),
    [("score.options", {"power": 3}), ("score.metric", "judged.Other"), ("sample.sampler.options",
     {"factor": 2.0}), ("score", {"metric": "fid", "extractor": "judge"})],
)  # fmt: skip
def test_classes_of_the_user_count_with_their_options(tmp_path, monkeypatch, place, value):
    own = {
        "experiments.pictures.score": {"metric": "judged.Spread", "options": {"power": 2}},
        "experiments.pictures.sample.sampler": {"kind": "judged.Once", "options": {"factor": 1.0}},
        "experiments.pictures.sample.mid_times": [],
    }
    project(tmp_path / "own", monkeypatch, **own)
    run("data images", f"train {RUN}", *STAGES[2:])
    assert current() == (True, True)
    changed(f"experiments.pictures.{place}", value)
    assert current() == (False, False)


def test_samples_along_training_are_those_of_now(scored, capsys):
    """The protocol tells nothing of them; the samples that are still there do."""
    changed("experiments.pictures.sample.snapshot_samples", 9)
    assert current() == (False, True)
    assert cli.main(["table", "some"]) == 2
    assert "drawn with other settings than params.yaml holds" in capsys.readouterr().err
    run("table some --finished")


def test_an_edited_metric_is_another(tmp_path, monkeypatch):
    project(tmp_path / "own", monkeypatch, **{
        "experiments.pictures.score": {"metric": "judged.Spread"}})  # fmt: skip
    run("data images", f"train {RUN}", *STAGES[2:])
    Path("judged.py").write_text(OWN.replace("std()) **", "var()) **"))
    assert current() == (False, False)


def test_a_floor_of_other_data_blocks_no_kept_run(scored):
    shutil.rmtree("results/pictures/ot")
    floor = Path("results/pictures/floor.json")
    floor.write_text(floor.read_text().replace('"size": ', '"size": 1'))
    run("table some", "keep some", "table some")


def test_a_training_that_is_under_way_again_leaves_the_kept_run(scored):
    Path("results", RUN, "config.json").unlink()
    run("table some --finished")
    assert cli.main(["table", "some"]) == 2
