"""Both engines end to end on tiny settings, and the handshake between them in both directions.

One story: each test takes up the project where the one before left it, so they run in the order of
the file.
"""

import json
import re
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

RUNS = ("mixture/variational/seed0", "digits/ot/seed0", "digits/variational/seed0")
ONE_RUN_OVER = [
    "figures of digits",
    "prior of digits/variational/seed0",
    "report of suite cpu",
    "sample digits/variational/seed0",
    "score digits/variational/seed0",
    "scores of suite cpu to MLflow",
    "table of suite cpu",
    "train digits/variational/seed0",
]
"""What a changed knob of one coupling asks for, in Snakemake's messages."""


def set_kl_weight(project, value):
    params = project.params()
    params["experiments"]["digits"]["couplings"]["variational"]["kl_weight"] = value
    project.write_params(params)


def stale_in_dvc(project):
    """The stages that DVC would run because their settings changed."""
    status = json.loads(project.run("dvc", "status", "--json").stdout)
    return {stage for stage, changes in status.items() if "params.yaml" in _changed_deps(changes)}


def _changed_deps(changes):
    dicts = [change for change in changes if isinstance(change, dict)]
    return {name for change in dicts for name in change.get("changed deps", {})}


@pytest.fixture(scope="module")
def finished(project):
    """The project after `snakemake --cores 2`."""
    result = project.snakemake()
    assert "### digits" in result.stdout  # the summary is the table
    assert "make ui" in result.stdout.splitlines()[-1]
    ends = re.findall(r"^\[[ \d]+/(\d+)\] ", result.stderr, flags=re.MULTILINE)
    assert len(ends) == int(ends[0]) and len(result.stderr.splitlines()) < len(ends) + 6
    return project


def test_everything_is_there(finished):
    for run in RUNS:
        folder = finished.folder / "results" / run
        metrics = json.loads((folder / "metrics.json").read_text())
        assert set(metrics) >= {"steps1", "steps2"}
        assert np.load(folder / "samples.npz")["steps1"].shape[0] == 64
    table = (finished.folder / "results/cpu/table.csv").read_text()
    assert "variational" in table and "fid_digits-classifier" in table
    for name in ("mixture-samples", "mixture-curves", "digits-samples", "digits-curves"):
        with Image.open(finished.folder / f"results/cpu/{name}.png") as image:
            assert np.asarray(image).std() > 0


def test_snakemake_has_nothing_left(finished):
    assert finished.planned() == []


def test_dvc_has_nothing_left(finished):
    assert finished.run("dvc", "status", "-q").returncode == 0
    before = (finished.folder / "dvc.lock").read_bytes()
    out = finished.run("dvc", "repro").stdout
    assert "Running stage" not in out
    assert (finished.folder / "dvc.lock").read_bytes() == before
    assert finished.planned() == []


def test_mlflow_has_each_run_once_with_curves_and_scores(finished):
    with sqlite3.connect(finished.folder / "mlflow.db") as database:
        runs = dict(
            database.execute(
                "select t.value, r.status from runs r join tags t on t.run_uuid = r.run_uuid "
                "where t.key = 'vct.run'"
            ).fetchall()
        )
        points = database.execute(
            "select t.value, m.step, count(*) from metrics m join tags t on t.run_uuid = m.run_uuid"
            " where t.key = 'vct.run' and m.key = 'training/loss' group by 1, 2"
        ).fetchall()
        scored = database.execute(
            "select distinct t.value from metrics m join tags t on t.run_uuid = m.run_uuid "
            "where t.key = 'vct.run' and m.key like 'scores/1 step%'"
        ).fetchall()
    assert runs == dict.fromkeys(RUNS, "FINISHED")
    assert sorted(points) == sorted((run, step, 1) for run in RUNS for step in (10, 20, 30, 40))
    assert sorted(scored) == sorted((run,) for run in RUNS)


def test_a_marker_of_mlflow_that_is_made_again_trains_nothing_again(finished):
    """Touched, as by `vct track init`, lost, or of another version."""
    marker = finished.folder / "results/tracking.json"
    content = marker.read_bytes()
    marker.touch()
    assert finished.planned() == []
    marker.unlink()
    assert finished.planned() == []
    marker.write_text("{}")
    assert finished.planned() == []
    marker.write_bytes(content)
    assert finished.planned() == []
    assert finished.run("dvc", "status", "-q").returncode == 0


def test_one_knob_reruns_one_chain_in_both(finished):
    set_kl_weight(finished, 31.0)
    assert finished.planned() == ONE_RUN_OVER
    assert stale_in_dvc(finished) == {"train-digits@variational-0"}
    other = finished.folder / "results/digits/ot/seed0/model.safetensors"
    before = other.stat().st_mtime_ns
    finished.snakemake()
    assert other.stat().st_mtime_ns == before
    assert finished.run("dvc", "status", "-q").returncode == 0


def test_sampling_knob_does_not_retrain(finished):
    params = finished.params()
    params["experiments"]["digits"]["sample"]["mid_times"] = [2.0]
    finished.write_params(params)
    planned = finished.planned()
    assert not [job for job in planned if job.startswith("train")]
    assert "sample digits/ot/seed0" in planned and "sample mixture" not in " ".join(planned)
    params["experiments"]["digits"]["sample"]["mid_times"] = [1.5]
    finished.write_params(params)
    assert finished.planned() == []


def test_single_target(finished):
    target = "results/digits/ot/seed0/metrics.json"
    (finished.folder / target).unlink()
    said = finished.snakemake(target).stderr
    assert re.findall(r"^\[1/1\] (.*?)  ", said, flags=re.MULTILINE) == ["score digits/ot/seed0"]
    assert (finished.folder / target).exists()


def clone_of(project, folder: Path):
    """A clean clone of what the project committed to git."""
    project.run("git", "add", "-A")
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    project.run("git", *identity, "commit", "-q", "--allow-empty", "-m", "state")
    project.run("git", "clone", "-q", str(project.folder), str(folder))
    return type(project)(folder)


@pytest.fixture(scope="module")
def remote(finished, tmp_path_factory):
    """A local DVC remote that holds everything."""
    folder = tmp_path_factory.mktemp("remote")
    finished.run("dvc", "remote", "add", "-q", "-d", "local", str(folder))
    finished.run("dvc", "push", "-q")
    return folder


def test_pulled_clone_is_adopted(finished, remote, tmp_path):
    clone = clone_of(finished, tmp_path / "clone")
    clone.run("dvc", "pull", "-q")
    clone.run("vct", "adopt", "cpu")
    # The page holds times, so that DVC keeps no copy; MLflow gets the new one.
    assert clone.planned() == ["report of suite cpu", "scores of suite cpu to MLflow"]
    assert clone.run("dvc", "status", "-q").returncode == 0
    set_kl_weight(clone, 32.0)
    assert clone.planned() == ONE_RUN_OVER
    assert stale_in_dvc(clone) == {"train-digits@variational-0"}


def test_adopt_refuses_what_dvc_does_not_know(finished, tmp_path):
    clone = clone_of(finished, tmp_path / "clone")
    result = clone.run("vct", "adopt", "cpu", ok=False)
    assert result.returncode == 2 and "dvc repro" in result.stderr


def test_dvc_repro_on_a_clean_clone_gives_the_same(finished, tmp_path):
    clone = clone_of(finished, tmp_path / "clone")
    out = clone.run("dvc", "repro")
    assert "Running stage 'train-digits@variational-0'" in out.stdout
    lock = "dvc.lock"
    assert (clone.folder / lock).read_text() == (finished.folder / lock).read_text()
    clone.run("vct", "adopt", "cpu")
    assert clone.planned() == []
    set_kl_weight(clone, 33.0)
    assert clone.planned() == ONE_RUN_OVER
    assert stale_in_dvc(clone) == {"train-digits@variational-0"}


def test_settings_on_the_command_line_are_refused(finished):
    result = finished.snakemake("-n", "--config", "runtime={threads: 3}", ok=False)
    assert result.returncode != 0
    assert "params.yaml" in result.stdout + result.stderr


def test_damaged_data_are_named(finished):
    file = finished.folder / "data/digits/train_x.npy"
    content = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(content[:-10])
    try:
        result = finished.run("vct", "train", "digits/ot/seed0", ok=False)
        assert result.returncode == 2
        assert "data/digits/train_x.npy" in result.stderr and "vct data digits" in result.stderr
        assert "Traceback" not in result.stderr
    finally:
        file.write_bytes(content)


def test_wrong_settings_are_one_sentence_in_both(finished):
    right = finished.params()
    wrong = finished.params()
    wrong["experiments"]["digits"]["train"]["stepz"] = 5
    finished.write_params(wrong)
    try:
        for command in (("snakemake", "--cores", "1"), ("dvc", "repro", "train-digits@ot-0")):
            result = finished.run(*command, ok=False)
            text = result.stdout + result.stderr
            assert result.returncode != 0
            assert "experiments.digits.train.stepz" in text and "steps" in text
            assert "Traceback" not in text
    finally:
        finished.write_params(right)
