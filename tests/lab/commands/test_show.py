"""`vct show` says what a run was made from, and sees every file that is not that any more."""

import json
import os
import shutil

import numpy as np
import pytest

from vct import __version__
from vct.lab import cli, versions

RUN = "small/variational/seed0"
FILES = (
    "model.safetensors",
    "snapshots.safetensors",
    "training.csv",
    "config.json",
    "samples.npz",
    "metrics.json",
    "trajectory.csv",
)


@pytest.fixture
def show(capsys):
    """Exit code of `vct show` and its lines of checks by state."""

    def run():
        code = cli.main(["show", RUN])
        out, err = capsys.readouterr()
        assert err == ""
        states = {}
        for line in out[out.index("checks:") :].splitlines()[1:-1]:
            state, _, item = line.strip().partition("  ")
            states.setdefault(state, []).append(item.strip())
        return code, states, out

    return run


@pytest.fixture
def folder(project):
    return project / "results" / RUN


def change(path, **entries):
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def test_a_whole_run(show, project):
    logs = project / "logs/sample" / f"{RUN}.tsv"
    logs.parent.mkdir(parents=True)
    logs.write_text("s\th:m:s\n75.2\t0:01:15\n")
    code, states, out = show()
    assert code == 0
    assert set(states) == {"ok"}
    config = json.loads((project / "results" / RUN / "config.json").read_text())
    for expected in (
        f"run: {RUN}",
        f"data: data/points, sha256 {config['data_sha256']}",
        f"settings: sha256 {config['settings_sha256']}",
        "batch_size: 8",
        "mid_times: [2.0, 0.5]",
        f"code: vct {__version__}, training {versions.TRAINING}",
        "samples.npz <- model.safetensors",
        "metrics along training: 20",
        "took 0:01:15",
    ):
        assert expected in out
    for name in FILES:
        assert f"{RUN}/{name}, recorded in" in out


@pytest.mark.parametrize("name", FILES)
def test_one_bit_of_any_file_or_its_loss_is_seen(show, folder, name):
    path = folder / name
    content = path.read_bytes()
    if name not in ("config.json", "samples.npz"):  # those are read as records first
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        code, states, _ = show()
        assert code == 2
        assert [item for item in states["differs"] if f"/{name}, " in item]
    if name != "config.json":
        path.unlink()
        code, states, _ = show()
        assert code == 2
        assert [item for item in states["missing"] if name in item]


def test_weights_changed_with_their_record_are_seen_by_the_samples_and_scores(show, folder):
    """A training repeated by hand: the run is whole, but its samples and scores are of another."""
    change(folder / "config.json", files={"model.safetensors": "0" * 64})
    code, states, _ = show()
    assert code == 2
    recorders = {item.split("recorded in ")[1].split(":")[0] for item in states["differs"]}
    assert recorders == {"config.json", "protocol.json"}
    assert len(states["not recorded"]) == 2


def test_changed_samples_are_seen(show, folder):
    arrays = dict(np.load(folder / "samples.npz"))
    arrays["steps1"][0] += 1
    np.savez(folder / "samples.npz", **arrays)
    code, states, _ = show()
    assert code == 2
    assert [item for item in states["differs"] if "samples.npz, recorded in protocol" in item]


def test_data_that_changed_or_are_gone(show, project):
    x = np.load(project / "data/points/train_x.npy")
    np.save(project / "data/points/train_x.npy", x + 1)
    code, states, _ = show()
    assert code == 2 and "does not hold what" in states["differs"][0]
    shutil.rmtree(project / "data")
    code, states, _ = show()
    assert code == 2 and states["missing"][0].startswith("data/points")


def test_data_that_params_do_not_describe_any_more(show, project):
    text = (project / "params.yaml").read_text()
    other = text.replace("source: mixture", "source: mixture\n    seed: 5")
    (project / "params.yaml").write_text(other)
    code, states, _ = show()
    assert code == 2 and states["differs"] == ["datasets.points of params.yaml: seed: 0 -> 5"]
    for stage in ("train", "prior", "sample", "score", "prepare", "floor"):
        name = "small" if stage == "floor" else RUN
        assert cli.main([stage, name]) == 2, stage


def test_data_made_anew_with_other_settings(show, project):
    text = (project / "params.yaml").read_text()
    other = text.replace("source: mixture", "source: mixture\n    seed: 5")
    (project / "params.yaml").write_text(other)
    assert cli.main(["data", "points"]) == 0
    code, states, _ = show()
    assert code == 2 and [item[:11] for item in states["differs"]] == ["data/points"]


def test_settings_and_code_that_changed_since(show, project, folder, monkeypatch):
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("kl_weight: 10", "kl_weight: 11"))
    scored = versions.SCORING
    monkeypatch.setattr("vct.lab.versions.SCORING", 99)
    code, states, _ = show()
    assert code == 2
    assert "coupling.kl_weight: 10.0 -> 11.0" in states["differs"][0]
    assert states["differs"][1] == f"code of scoring: version {scored}, this program has 99"


def test_samples_of_other_settings(show, project):
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("num_samples: 16", "num_samples: 17", 1))
    code, states, _ = show()
    assert code == 2
    assert states["differs"] == ["settings of sampling in params.yaml: num_samples: 16 -> 17"]


def test_samples_or_scores_of_other_data_are_seen(show, folder):
    path = folder / "samples.npz"
    arrays, whole = dict(np.load(path)), path.read_bytes()
    record = json.loads(str(arrays.pop("record")))
    np.savez(path, **arrays, record=json.dumps({**record, "data_sha256": "0" * 64}))
    code, states, _ = show()
    assert code == 2
    assert [item for item in states["differs"] if item.startswith("data of samples.npz")]
    path.write_bytes(whole)
    reference = json.loads((folder / "protocol.json").read_text())["reference"]
    change(folder / "protocol.json", reference={**reference, "sha256": "0" * 64})
    code, states, _ = show()
    assert code == 2
    assert [item[:26] for item in states["differs"]] == ["reference of protocol.json"]


def test_a_run_half_way_is_no_problem(show, folder):
    for name in ("samples.npz", "preview.png", "metrics.json", "protocol.json", "trajectory.csv"):
        os.unlink(folder / name)
    code, states, _ = show()
    assert code == 0
    assert [item.split(":")[0][-11:] for item in states["not made yet"]] == [
        "samples.npz",
        "etrics.json",
    ]


def test_the_extractor_of_the_scores_is_checked(show, project, folder):
    weights = project / "results/extractors/judge/weights.safetensors"
    judge = {"name": "judge", "kind": "classifier", "sha256": "0" * 64, "features": 8}
    change(folder / "protocol.json", extractor=judge)
    assert [item for item in show()[1]["missing"] if str(weights.relative_to(project)) in item]
    weights.parent.mkdir(parents=True)
    weights.write_text("other")
    assert [item for item in show()[1]["differs"] if "extractors/judge" in item]


def test_a_run_that_was_never_trained(project, refused):
    assert "config.json is missing" in refused("show", "small/ot/seed0")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", {"settings": {}}),
        ("config.json", {"settings_sha256": "0" * 64}),
        ("config.json", {"files": []}),
        ("protocol.json", {"extractor": {"name": "../judge"}}),
        ("protocol.json", {"reference": []}),
        ("protocol.json", {"version": "x"}),
    ],
)
def test_records_that_no_stage_writes(folder, refused, name, content):
    change(folder / name, **content)
    assert f"{name} is damaged" in refused("show", RUN)


def test_a_record_without_hashes_is_named(show, folder):
    content = json.loads((folder / "protocol.json").read_text())
    del content["files"]
    (folder / "protocol.json").write_text(json.dumps(content))
    code, states, _ = show()
    assert code == 0 and len(states["not recorded"]) == 4


def test_a_damaged_log_does_not_matter(show, project):
    state = project / "state" / RUN
    (state / "log.jsonl").write_text('{"step": 1, "loss": 2, "time": 0}\n{"lo\n')
    code, _, out = show()
    assert code == 0 and "metrics along training" in out
