"""A data source or a sampler that was edited since it was used is seen by every stage by hand."""

import shutil
import sys
from pathlib import Path

import pytest
import yaml
from support import params

import vct
from vct.lab import cli, records
from vct.lab.data import dataset
from vct.lab.errors import UserError
from vct.lab.records import DatasetRecord

P, RUN = "experiments.small", "small/ot/seed0"
SOURCE = """
import numpy as np

from vct.lab.data.sources.base import Source, Split


def line(std=0.05):
    x = np.linspace(-std, std, 80, dtype=np.float32).reshape(40, 2, 1, 1)
    none = np.full(40, -1)
    extra = {"modes": {"means": [[0.0, 0.0]], "std": std}}
    return Source(Split(x, none), Split(x[::-1].copy(), none), classes=0, extra=extra)
"""
SAMPLER = """
from vct.samplers.base import Sampler


class Half(Sampler):
    schedules = {"half1": [80.0]}

    def __call__(self, f, coupling, noise, labels=None):
        yield f(80.0 * noise[0], noise[0].new_full((len(noise[0]),), 80.0), labels) / 2
"""
STAGES = ("data points", *(f"{stage} {RUN}" for stage in ("train", "sample", "score")))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("edits")
    changes = {
        "runtime.tracking": False,
        "datasets.points": {"source": "my_line.line"},
        f"{P}.sample.sampler": {"kind": "my_half.Half"},
    }
    content = params(changes, drop=f"{P}.sample.mid_times")
    content["suites"] = {"one": ["small"]}
    content["experiments"]["small"]["variants"] = ["ot"]
    content["experiments"]["small"]["seeds"] = [0]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("sys.path", ["", *sys.path])
        Path("my_line.py").write_text(SOURCE)
        Path("my_half.py").write_text(SAMPLER)
        Path("params.yaml").write_text(yaml.safe_dump(content))
        for stage in (*STAGES, "floor small"):
            assert cli.main(stage.split()) == 0, stage
    return folder


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    folder = shutil.copytree(made, tmp_path / "project")
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.path", ["", *sys.path])
    for module in ("my_line", "my_half"):  # of the other folder
        sys.modules.pop(module, None)
    return folder


def edit(file, old, new):
    content = Path(file).read_text()
    assert old in content
    Path(file).write_text(content.replace(old, new))


def refusals(capsys, *commands):
    for command in commands:
        capsys.readouterr()
        assert cli.main(command.split()) == 2, command
        yield capsys.readouterr().err


def test_comments_are_no_edits(project):
    for file in ("my_line.py", "my_half.py"):
        Path(file).write_text("# words\n" + Path(file).read_text())
    for command in (f"train {RUN}", f"sample {RUN}", f"score {RUN}", "table one", f"show {RUN}"):
        assert cli.main(command.split()) == 0, command


def test_an_edited_source_is_made_again_first(project, capsys):
    edit("my_line.py", "-std, std,", "-std, 2 * std,")
    said = "data/points was made otherwise than datasets.points of params.yaml says now (code of "
    for error in refusals(capsys, *STAGES[1:], "floor small"):
        assert f"{said}my_line.line); make it again: vct data points" in error
    assert cli.main(["show", RUN]) == 2
    assert "code of my_line.line" in capsys.readouterr().out
    for error in refusals(capsys, "table one"):
        assert "trained on other data than params.yaml describes" in error
    before = dataset.load("points").sha256
    assert cli.main(["data", "points", "--preview"]) == 0  # makes it, as it is of another code
    assert dataset.load("points").sha256 != before


def test_data_of_before_code_was_recorded_are_taken(project):
    path = Path("data/points/meta.json")
    meta = records.read(DatasetRecord, path)
    assert meta.own_code
    records.write(meta.model_copy(update={"own_code": None}), path)
    edit("my_line.py", "-std, std,", "-std, 2 * std,")
    assert cli.main(["sample", RUN]) == 0


def test_an_edited_sampler_makes_no_samples_under_the_old_scores(project, capsys):
    assert cli.main(["export", RUN, "out"]) == 0
    folders = [f"results/{RUN}", "out"]
    before = [vct.load(folder).sample(3) for folder in folders]
    assert before[0].equal(before[1])
    edit("my_half.py", "/ 2", "/ 3")
    for folder in folders:
        model = vct.load(folder)  # the function is what it was
        with pytest.raises(UserError, match=r"sampled with code of my_half.Half that is not here"):
            model.sample(3)
    for error in refusals(capsys, f"sample {RUN} --out more --num 3", f"export {RUN} again"):
        assert "sampled with code of my_half.Half" in error
    assert not Path("again").exists()
    assert cli.main(["show", RUN]) == 2
    assert "sampler of your own" in capsys.readouterr().out


def test_the_protocol_names_a_sampler(project):
    assert cli.main(["table", "one"]) == 0
    assert r"sampler my\_half.Half: code " in Path("results/one/table.md").read_text()


def test_a_table_of_no_run_says_so(project, capsys):
    """Of the finished ones, when none is of now."""
    content = yaml.safe_load(Path("params.yaml").read_text())
    content["experiments"]["small"]["train"]["steps"] += 1
    Path("params.yaml").write_text(yaml.safe_dump(content))
    (error,) = refusals(capsys, "table one --finished")
    assert "no run of suite one is finished, of the settings, data and code of now; make" in error
