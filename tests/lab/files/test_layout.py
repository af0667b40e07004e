"""Runs and where their files are."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ROOT

from vct.lab.errors import UserError
from vct.lab.files import layout, whole
from vct.lab.files.layout import RunId
from vct.lab.settings import reading
from vct.lab.workflow import dvc

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True)


@given(NAMES, NAMES, st.integers(0, 999_999_999))
@settings(deadline=None, derandomize=True)
def test_run_round_trip(experiment, coupling, seed):
    run = RunId(experiment, coupling, seed)
    assert RunId.parse(str(run)) == run


def test_run_as_people_write_it():
    assert RunId.parse("digits/variational/seed12") == RunId("digits", "variational", 12)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "digits",
        "digits/ot",
        "digits/ot/0",
        "digits/ot/seed",
        "digits/ot/seed-1",
        "digits/ot/seed1.0",
        "digits/ot/seed01",
        "digits/ot/seed\u0663",
        "digits/ot/seed1234567890",
        "digits/ot/seed0/",
        "digits/ot/seed0\n",
        " digits/ot/seed0",
        "results/digits/ot/seed0",
        "../ot/seed0",
        "digits/../seed0",
        "digits//seed0",
        "di gits/ot/seed0",
        "digits;rm/ot/seed0",
        "-digits/ot/seed0",
        "x" * 65 + "/ot/seed0",
    ],
)
def test_anything_else_is_refused_with_an_example(text):
    with pytest.raises(UserError, match="EXPERIMENT/COUPLING/seedK"):
        RunId.parse(text)


def test_places_never_collide():
    run, other = RunId("e", "c", 1), RunId("e", "c", 11)
    places = [
        run.directory,
        run.state,
        other.directory,
        layout.dataset_dir("e"),
        layout.extractor_dir("e"),
        layout.floor_file("e"),
        layout.suite_dir("s"),
        layout.TRACKING_READY,
    ]
    assert len(set(places)) == len(places)
    assert not any(place.is_absolute() for place in places)
    # Snakemake deletes everything in the output folder of a failed job.
    assert not run.state.is_relative_to(run.directory)
    assert not layout.floor_file("e").is_relative_to(run.directory)


def test_files_of_the_stages_of_a_run_differ():
    files = [*layout.TRAIN_FILES, *layout.SAMPLE_FILES, *layout.SCORE_FILES]
    assert len(set(files)) == len(files)


@pytest.mark.parametrize("suite", ["cpu", "study"])
def test_a_file_that_is_missing_is_made_by_the_stage_that_writes_it(suite, monkeypatch):
    """Of all stages of a suite, in words that can be typed."""
    monkeypatch.chdir(ROOT)
    stages = yaml.safe_load(dvc.text(reading.load(), suite))["stages"]
    item = {"${item.coupling}": "ot", "${item.seed}": "7"}
    known = 0
    for stage in stages.values():
        command = stage["cmd"][0] if isinstance(stage["cmd"], list) else stage["cmd"]
        written = [each for key in ("outs", "metrics", "plots") for each in stage.get(key, ())]
        for path in (each if isinstance(each, str) else next(iter(each)) for each in written):
            for name, value in item.items():
                command, path = command.replace(name, value), path.replace(name, value)
            if path.startswith("data/"):
                path += "/train_x.npy"
            made = layout.made_by(path)
            assert made in (command, None)
            known += made is not None
    assert known > 30
    for other in (
        "results/x.json",
        "data/raw/x.tar.gz",
        "/home/a/data/project/params.yaml",
        "results/study/runs/d/ot/seed7/metrics.json",
        "results/study/runs/data/digits/meta.json",
        "scratch/results/d/ot/seed7/metrics.json",
        "results/d/ot/seed7/notes.txt",
    ):
        assert layout.made_by(other) is None
    with pytest.raises(UserError, match=r"meta.json is missing; make it: vct data nobody's$"):
        whole.read_text("data/nobody's/meta.json")
