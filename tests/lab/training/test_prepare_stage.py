"""`vct prepare`: what trainings and diagnoses go by, and what they refuse."""

import json
import re
import shutil
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from support import PARAMS, params

from vct.couplings import semidiscrete
from vct.lab import cli, records, versions
from vct.lab.data import dataset
from vct.lab.estimate.costs import Device
from vct.lab.estimate.rows import rows
from vct.lab.files.layout import RunId
from vct.lab.files.tensors import load_sealed, save_sealed
from vct.lab.records import RunRecord
from vct.lab.runs import weights
from vct.lab.settings import reading
from vct.lab.settings.run import run_settings
from vct.lab.training import preparation
from vct.lab.training.checkpoint import Identity
from vct.lab.training.trainer import Trainer
from vct.lab.workflow import dvc, graph

SMALL = PARAMS["experiments"]["small"]
HEUN = {"kind": "heun", "steps": 3}
FLOW = SMALL | {
    "train": SMALL["train"] | {"objective": {"kind": "edm"}},
    "variants": ["independent"],
    "couplings": {"independent": {}},
    "sample": {"num_samples": 16, "sampler": HEUN},
}
CUT = {"kind": "semidiscrete", "iterations": 30, "draws": 64}
COUPLINGS = {
    "independent": {},
    "cut": CUT,
    "gc": {"kind": "generator_augmented", "base": {**CUT}},
    "taught": {"kind": "reflow", "teacher": "flow/independent", "pairs": 30, "sampler": HEUN},
    "mine": {"kind": "own_prepared.Mine", "prepares": True},
}
CHANGES = {
    "experiments.flow": FLOW,
    "experiments.small.couplings": COUPLINGS,
    "experiments.small.variants": list(COUPLINGS),
    "experiments.small.seeds": [0],
    "experiments.small.diagnostics": {
        "seeds": [0],
        "batches": 8,
        "levels": 2,
        "pairs": 64,
        "points": 2,
        "permutations": 19,
        "redraws": 2,
    },
    "runtime.tracking": False,
    "runtime.checkpoint_every": 1,
    "suites": {"cpu": ["flow", "small"]},
}
OWN = """
import torch
from vct.couplings.independent import Independent

class Mine(Independent):
    def __init__(self, points, scale=1.0, **kwargs):
        super().__init__(**kwargs)
        self.points, self.scale, self.mean = points, scale, None

    def prepare(self, context):
        return {"mean": self.scale * self.points()[0].mean(dim=0).to(context.like.device)}

    def accept(self, prepared):
        self.mean = prepared["mean"]

    def pair(self, x, eps, context):
        return super().pair(x, eps + self.mean, context)
"""
RUN = "small/cut/seed0"
FILE = Path(f"results/{RUN}/prepared.safetensors")


def run_of(coupling):
    return RunId("small", coupling, 0)


def write_params(changes=()):
    Path("params.yaml").write_text(yaml.safe_dump(params({**deepcopy(CHANGES), **dict(changes)})))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project whose teacher is trained, and for which all is prepared."""
    folder = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("sys.path", ["", *sys.path])
        Path("own_prepared.py").write_text(OWN)
        write_params()
        assert cli.main(["data", "points"]) == 0
        assert cli.main(["train", "flow/independent/seed0"]) == 0
        for coupling in COUPLINGS:
            assert cli.main(["prepare", f"small/{coupling}/seed0"]) == 0
        yield folder


@pytest.fixture
def project(made, tmp_path, monkeypatch, capsys):
    """The current folder: a copy of it, with nothing printed yet."""
    sys.modules.pop("own_prepared", None)
    shutil.copytree(made, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setattr("sys.path", ["", *sys.path])
    capsys.readouterr()


@pytest.fixture
def refused(capsys):
    """The one line on stderr of a command that ends with code 2."""

    def run(*arguments):
        assert cli.main(list(arguments)) == 2
        *_, last = capsys.readouterr().err.splitlines()
        assert last.startswith("vct: error: ")
        return last

    return run


def trained_lazily(coupling, state):
    """The averaged model of a training whose coupling makes what it needs at its first pair."""
    settings, found = run_settings(reading.load(), run_of(coupling)), reading.load()
    data = dataset.load("points")
    identity = Identity({}, "", 1)
    result = Trainer(settings, 0, data, found.runtime, state, identity).run()
    return result.model.state_dict()


@pytest.mark.parametrize("coupling", ["cut", "gc", "taught"])
def test_weights_are_those_of_a_coupling_that_prepares_when_it_is_asked(
    project, coupling, tmp_path, monkeypatch
):
    (tmp_path / "state").mkdir()
    expected = trained_lazily(coupling, tmp_path / "state")
    # The training solves for nothing, and needs no teacher.
    monkeypatch.setattr(semidiscrete, "potentials", None)
    Path("results/flow/independent/seed0/model.safetensors").unlink()
    assert cli.main(["train", f"small/{coupling}/seed0"]) == 0
    found = load_file(f"results/small/{coupling}/seed0/model.safetensors")
    assert found.keys() == expected.keys()  # without what was prepared
    assert all(torch.equal(found[name], expected[name]) for name in found)
    record = records.read(RunRecord, f"results/small/{coupling}/seed0/config.json")
    assert len(record.prepared_sha256) == 64
    assert bool(record.teacher_sha256) == (coupling == "taught")
    assert cli.main(["show", f"small/{coupling}/seed0"]) == 0


def test_a_variant_that_prepares_nothing_has_an_empty_file_and_needs_none(project):
    path = Path("results/small/independent/seed0/prepared.safetensors")
    facts, tensors = load_sealed(path, "prepared", "")
    assert tensors == {} and "seed" not in facts
    path.unlink()
    assert cli.main(["train", "small/independent/seed0"]) == 0
    record = json.loads(Path("results/small/independent/seed0/config.json").read_text())
    assert not {"prepared_sha256", "teacher_sha256"} & record.keys()


def test_the_same_is_prepared_again_byte_by_byte(project, monkeypatch):
    for coupling in COUPLINGS:
        path = Path(f"results/small/{coupling}/seed0/prepared.safetensors")
        before = path.read_bytes()
        assert cli.main(["prepare", f"small/{coupling}/seed0"]) == 0
        assert path.read_bytes() == before


def test_a_seed_is_a_fact_where_it_decides(project):
    """The noise of pairs is that of the seed; potentials are of the data alone."""
    write_params({"experiments.small.seeds": [0, 1]})
    assert cli.main(["train", "flow/independent/seed1"]) == 0
    for coupling in ("cut", "taught"):
        assert cli.main(["prepare", f"small/{coupling}/seed1"]) == 0
        one, other = (
            Path(f"results/small/{coupling}/seed{seed}/prepared.safetensors").read_bytes()
            for seed in (0, 1)
        )
        assert (one == other) == (coupling == "cut")
        path = Path(f"results/small/{coupling}/seed1/prepared.safetensors")
        assert load_sealed(path, "prepared", "")[0].get("seed") == (
            1 if coupling != "cut" else None
        )


@pytest.mark.parametrize(
    ("changes", "other"),
    [
        ({"small.couplings.cut.iterations": 31}, "settings"),
        ({"small.couplings.cut.entropy": 0.5}, "settings"),
        ({"small.train.conditional": True, "flow.train.conditional": True}, "settings"),
        ({"small.train.precision": "tf32"}, "settings"),
        ({"small.train.optimizer.learning_rate": 2e-3}, None),
        ({"small.train.sigma_data": 0.6}, None),
        ({"small.couplings.cut.clip_grad_norm": 100.0}, None),
    ],
)
def test_settings_that_decide_what_is_prepared_ask_for_it_again(project, refused, changes, other):
    write_params({f"experiments.{key}": value for key, value in changes.items()})
    if other is None:
        assert cli.main(["train", RUN]) == 0
    else:
        said = refused("train", RUN)
        assert f"{FILE} is of other {other}; make it again: vct prepare {RUN}" in said
        assert cli.main(["prepare", RUN]) == 0 and cli.main(["train", RUN]) == 0


def test_mirrored_images_have_potentials_of_their_own(project, refused):
    run, pictures = "pictures/cut/seed3", "experiments.pictures"
    given = {f"{pictures}.variants": ["cut"], f"{pictures}.couplings": {"cut": {**CUT}}}
    write_params(given)
    assert cli.main(["data", "images"]) == cli.main(["prepare", run]) == 0
    path = Path(f"results/{run}/prepared.safetensors")
    (before,) = load_file(path).values()
    write_params({**given, f"{pictures}.train.flip": True})
    assert "is of other settings" in refused("train", run)
    assert cli.main(["prepare", run]) == 0
    (after,) = load_file(path).values()
    assert len(after) == 2 * len(before)


def damage(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Path.unlink, "is missing"),
        (damage, "is damaged"),
        (lambda path: path.write_bytes(b"torn"), "is damaged"),
        (lambda path: path.write_bytes(load_file_of("independent")), "is of other settings"),
    ],
)
def test_a_file_that_is_not_whole_is_one_sentence(project, refused, change, said):
    change(FILE)
    message = refused("train", RUN)
    assert said in message and f"vct prepare {RUN}" in message
    assert not Path(f"results/{RUN}/config.json").exists()


def load_file_of(coupling):
    return Path(f"results/small/{coupling}/seed0/prepared.safetensors").read_bytes()


def test_other_data_code_and_teachers_ask_for_it_again(project, refused, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(versions, "PREPARATION", 99)
        assert "is of other version of the program" in refused("train", RUN)
    Path("own_prepared.py").write_text(OWN.replace("self.scale *", "2 *"))
    assert "is of other code of your classes" in refused("train", "small/mine/seed0")
    write_params({"experiments.flow.train.steps": 21})
    assert cli.main(["train", "flow/independent/seed0"]) == 0
    assert "is of other weights of its teacher" in refused("train", "small/taught/seed0")
    assert cli.main(["prepare", "small/taught/seed0"]) == 0
    assert cli.main(["train", "small/taught/seed0"]) == 0
    write_params({"datasets.points.seed": 9})
    assert cli.main(["data", "points"]) == 0
    assert "is of other data" in refused("train", RUN)


def other_potentials():
    facts, tensors = load_sealed(FILE, "prepared", "")
    tensors["potentials"] += torch.arange(len(tensors["potentials"]))
    save_sealed(FILE, "prepared", facts, tensors)


def test_a_training_goes_on_with_the_same_preparation_only(project, refused, monkeypatch):
    step, kept = Trainer._step, FILE.read_bytes()

    def stop(self, number):
        if number == 3:
            raise KeyboardInterrupt
        step(self, number)

    assert cli.main(["train", RUN]) == 0
    model = Path(f"results/{RUN}/model.safetensors")
    expected = model.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", stop)
        assert cli.main(["train", RUN, "--fresh"]) == 130
    other_potentials()
    assert "prepared_sha256" in refused("train", RUN)
    FILE.write_bytes(kept)
    monkeypatch.setattr(semidiscrete, "potentials", None)  # not again at each start
    assert cli.main(["train", RUN]) == 0
    assert model.read_bytes() == expected


def test_preparing_says_how_even_the_cells_are(project, capsys):
    assert cli.main(["prepare", RUN]) == 0
    said = capsys.readouterr().err
    assert re.search(rf"{RUN}: the masses of the cells deviate by \d+%; more `iterations`", said)
    assert cli.main(["prepare", "small/taught/seed0"]) == 0
    assert "cells" not in capsys.readouterr().err


def test_what_was_trained_with_another_file_is_seen(project, refused, capsys):
    for stage in ("train", "sample"):
        assert cli.main([stage, RUN]) == 0
    kept = FILE.read_bytes()
    other_potentials()
    assert "was trained with another" in refused("diagnose", RUN)
    capsys.readouterr()
    assert cli.main(["show", RUN]) == 2
    (line,) = (each for each in capsys.readouterr().out.splitlines() if str(FILE) in each)
    assert line.split()[0] == "differs"
    FILE.unlink()
    assert f"vct prepare {RUN}" in refused("diagnose", RUN)
    assert cli.main(["show", RUN]) == 2
    FILE.write_bytes(kept)
    assert cli.main(["show", RUN]) == 0
    record = records.read(RunRecord, f"results/{RUN}/config.json")
    settings, data = run_settings(reading.load(), run_of("cut")), dataset.load("points")
    # Of before there was this stage.
    before = record.model_copy(update={"prepared_sha256": None})
    assert preparation.checked(run_of("cut"), settings, data, before) is not None


def test_samples_of_points_show_pairs_of_what_was_prepared(project, monkeypatch, capsys):
    assert cli.main(["train", RUN]) == 0
    kept = FILE.read_bytes()
    FILE.unlink()
    capsys.readouterr()
    assert cli.main(["sample", RUN]) == 2
    assert f"make it with: vct prepare {RUN}" in capsys.readouterr().err
    FILE.write_bytes(kept)
    monkeypatch.setattr(semidiscrete, "potentials", None)
    assert cli.main(["sample", RUN]) == 0


def test_a_diagnosis_pairs_with_it(project, monkeypatch):
    for stage in ("train", "sample", "score"):
        assert cli.main([stage, "small/independent/seed0"]) == 0
        assert cli.main([stage, RUN]) == 0
        assert cli.main([stage, "small/taught/seed0"]) == 0
    monkeypatch.setattr(semidiscrete, "potentials", None)
    Path("results/flow/independent/seed0/model.safetensors").unlink()
    write_params({"experiments.small.diagnostics.common": "independent"})
    for coupling in ("cut", "taught"):
        assert cli.main(["diagnose", f"small/{coupling}/seed0"]) == 0


def test_a_trial_prepares_by_itself_and_once(project, monkeypatch):
    asked, solve = [], semidiscrete.potentials

    def noted(*given):
        asked.append(given)
        return solve(*given)

    monkeypatch.setattr(semidiscrete, "potentials", noted)
    # With the settings of the run itself, what that goes by will do.
    for iterations, times in ((30, 0), (20, 1), (20, 1), (21, 2)):
        changes = (f"coupling.iterations={iterations}", "train.steps=5", "train.snapshots=0")
        assert cli.main(["train", RUN, *(f"--set={change}" for change in changes)]) == 0
        assert len(asked) == times
    record = records.read(RunRecord, f"scratch/results/{RUN}/config.json")
    assert len(record.prepared_sha256) == 64
    assert not Path(f"results/{RUN}/config.json").exists()


def test_a_preparation_that_is_stopped_leaves_what_was_there(project, monkeypatch):
    kept, folder = FILE.read_bytes(), FILE.parent

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(semidiscrete, "potentials", stop)
        assert cli.main(["prepare", RUN]) == 130
    assert FILE.read_bytes() == kept and [*folder.iterdir()] == [FILE]
    # What a kill left of an older one.
    (folder / ".tmp-prepared-xyz.safetensors").write_bytes(b"half")
    assert cli.main(["prepare", RUN]) == 0
    assert [*folder.iterdir()] == [FILE]


def test_what_is_not_finite_is_refused(project, refused, monkeypatch):
    monkeypatch.setattr(semidiscrete, "potentials", lambda x, *_: torch.full((len(x),), torch.nan))
    kept = FILE.read_bytes()
    assert "is not finite" in refused("prepare", RUN)
    assert FILE.read_bytes() == kept


def test_a_coupling_of_ones_own_prepares(project, refused):
    run = "small/mine/seed0"
    tensors = load_sealed(Path(f"results/{run}/prepared.safetensors"), "prepared", "")[1]
    x = torch.from_numpy(dataset.load("points").train.x.copy())
    torch.testing.assert_close(tensors["mean"], x.mean(dim=0))
    assert cli.main(["train", run]) == 0
    write_params({"experiments.small.couplings.mine": {"kind": "own_prepared.Mine"}})
    for stage in ("prepare", "train"):
        said = refused(stage, run)
        assert "'own_prepared.Mine' prepares something" in said and "prepares: true" in said
    Path("own_prepared.py").write_text(
        "from vct.couplings.independent import Independent as Mine  # prepares nothing\n"
    )
    sys.modules.pop("own_prepared", None)
    write_params()
    assert "does not define prepare" in refused("prepare", run)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('return {"mean"', 'return [0] or {"mean"', "Mine.prepare gives list"),
        ("self.points()[0]", "self.nothing()[0]", "own_prepared.py, line 11, in prepare"),
        ("    def accept", "    def take", "must define both prepare and accept"),
    ],
)
def test_mistakes_in_a_coupling_of_ones_own_are_one_sentence(project, refused, old, new, said):
    Path("own_prepared.py").write_text(OWN.replace(old, new))
    sys.modules.pop("own_prepared", None)
    assert said in refused("prepare", "small/mine/seed0")


def test_the_page_of_a_suite_says_how_to_prepare(project):
    for coupling in ("independent", "cut"):
        for stage in ("train", "sample", "score"):
            assert cli.main([stage, f"small/{coupling}/seed0"]) == 0
    assert cli.main(["floor", "small"]) == 0
    assert cli.main(["report", "cpu", "--finished"]) == 0
    html = Path("results/cpu/report.html").read_text(encoding="utf-8")
    assert "vct prepare small/independent/seed0\nvct train small/independent/seed0" in html


def test_the_estimate_counts_the_disk_of_what_is_prepared(project):
    every = rows(reading.load(), "cpu", Device(1.0, 1.0))
    found = {row.coupling: row for row in every if row.experiment == "small"}
    path = Path("results/small/taught/seed0/prepared.safetensors")
    size = sum(tensor.nbytes for tensor in load_file(path).values())
    more = found["taught"].cost.disk.results - found["independent"].cost.disk.results
    assert more == size == 2 * 30 * 2 * 4


def test_both_engines_prepare_before_they_train():
    found = reading.validate(params(deepcopy(CHANGES)))
    file, run = "{run}/prepared.safetensors", {"experiment": "small", "seed": "0"}
    teacher = "results/flow/independent/seed{seed}/model.safetensors"
    for stage in ("train", "sample", "diagnose"):
        assert file in graph.inputs(found, "small")[stage]
        assert teacher not in graph.inputs(found, "small")[stage]
        assert not [path for path in graph.inputs(found, "flow")[stage] if "prepared" in path]
    assert teacher in graph.inputs(found, "small")["prepare"]
    assert teacher not in graph.inputs(found, "small", "cut")["prepare"]
    read = graph.input_files(found, "train", {**run, "coupling": "taught"})
    assert "results/small/taught/seed0/prepared.safetensors" in read
    stages = yaml.safe_load(dvc.text(found, "cpu"))["stages"]
    names = list(stages)
    assert names.index("prepare-small") < names.index("train-small")
    assert "prepare-flow" not in stages
    assert stages["prepare-small"]["outs"][0] in stages["train-small"]["deps"]
    assert stages["prepare-small"]["matrix"] == stages["train-small"]["matrix"]


def test_an_experiment_that_lists_no_such_variant_has_no_such_stage():
    alone = {"experiments.small.variants": ["independent"]}
    common = {"experiments.small.diagnostics.common": "independent"}
    found = reading.validate(params({**deepcopy(CHANGES), **alone, **common}))
    assert not graph.prepares(found, "small")
    assert "prepare-small" not in yaml.safe_load(dvc.text(found, "cpu"))["stages"]


def test_weights_without_a_preparation_are_loaded(project):
    """As `vct.load` does, beside no other file."""
    assert cli.main(["train", RUN]) == 0
    FILE.unlink()
    settings = run_settings(reading.load(), run_of("cut"))
    weights.load(run_of("cut"), settings, dataset.load("points"), torch.device("cpu"))
