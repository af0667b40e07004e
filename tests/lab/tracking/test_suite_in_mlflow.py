"""A trained and scored suite in MLflow: rows, data, pictures, models, table."""

import json
import math
import shutil
import sqlite3
import statistics
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import yaml
from mlflow_server import Server
from support import params
from tracking_support import every

import vct
from vct.lab import cli
from vct.lab.files.layout import RunId
from vct.lab.records import DatasetRecord, Scores, read
from vct.lab.tracking.commit import commit_at
from vct.lab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:starlette.middleware.wsgi")

RUNS = [RunId.parse(f"small/independent/seed{seed}") for seed in (0, 1)]
SCORE = "scores/1 step 2-Wasserstein distance"
ALONG = "scores along training/1 step 2-Wasserstein distance"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A project with two trained seeds, scored, and the table of their suite; nothing was sent."""
    folder = tmp_path_factory.mktemp("suite")
    changes = {
        "experiments.small.variants": ["independent"],
        "experiments.small.sample.snapshot_samples": 16,
        "suites": {"one": ["small"]},
    }
    stages = [["data", "points"], ["floor", "small"]]
    stages += [[stage, str(run)] for run in RUNS for stage in ("train", "sample", "score")]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        folder.joinpath("params.yaml").write_text(yaml.safe_dump(params(changes)))
        for stage in [*stages, ["table", "one"]]:
            assert cli.main(stage) == 0, stage
    return folder


@pytest.fixture
def project(trained, template, tmp_path, monkeypatch):
    """A copy of it with a database."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("VCT_TRACKING", raising=False)
    folder = tmp_path / "project"
    shutil.copytree(trained, folder)
    shutil.copy(template / "mlflow.db", folder)
    monkeypatch.chdir(folder)
    return folder


def send():
    assert cli.main(["track", "scores", "one"]) == 0


def of(folder, name):
    (found,) = [run for run in every(folder, "small") if run.info.run_name == name]
    return found


def number(run):
    """What was scored, from its file."""
    return read(Scores, run.directory / "metrics.json").root["steps1"]["w2"]


def check(folder):
    """What a user finds, wherever the store is; sending again changes nothing."""
    send()
    client = Store(folder).connect()
    parent = of(folder, "independent (small)")
    seeds = [of(folder, f"seed{k} independent (small)") for k in (0, 1)]
    scores = [number(run) for run in RUNS]
    # The row: its seeds below it, their mean and spread, their time.
    assert {run.data.tags["mlflow.parentRunId"] for run in seeds} == {parent.info.run_id}
    assert parent.data.tags["seeds"] == "0, 1" and parent.info.status == "FINISHED"
    assert parent.data.metrics[SCORE] == pytest.approx(statistics.mean(scores))
    spread = parent.data.metrics[SCORE.replace("scores", "variation over seeds sd", 1)]
    assert spread == pytest.approx(statistics.stdev(scores))
    assert parent.info.start_time == min(run.info.start_time for run in seeds)
    assert parent.info.end_time == max(run.info.end_time for run in seeds)
    for run, seed, score in zip(RUNS, seeds, scores, strict=True):
        check_run(client, run, seed, score)
    # The suite.
    (suite,) = every(folder, "all suites")
    names = {each.path for each in client.list_artifacts(suite.info.run_id)}
    assert {"table.csv", "table.md", "comparisons.csv", "params.yaml"} <= names
    assert suite.info.status == "FINISHED"
    before = content(client, [parent, *seeds, suite])
    send()
    assert content(client, [parent, *seeds, suite]) == before
    return client


def check_run(client, run, seed, score):
    """One run: what it says of itself."""
    data, id = seed.data, seed.info.run_id
    tags = {"objective": "ict", "kernel": "ve", "coupling": "independent", "dataset": "points"}
    assert (tags | {"seed": str(run.seed)}).items() <= data.tags.items()
    assert data.params["seed"] == str(run.seed) and len(data.params) < 15
    (used,) = seed.inputs.dataset_inputs
    meta = read(DatasetRecord, "data/points/meta.json")
    assert used.dataset.name == "points" and meta.sha256.startswith(used.dataset.digest)
    assert json.loads(used.dataset.source)["sha256"] == meta.sha256
    assert data.metrics[SCORE] == score
    # Snapshots along training, as numbers and as pictures.
    assert [each.step for each in client.get_metric_history(id, ALONG)] == [10, 20]
    images = [each.path for each in client.list_artifacts(id, "images")]
    shown = [path for path in images if "1 step+step" in path and path.endswith(".png")]
    assert sorted(path.split("+")[2] for path in shown) == ["10", "20"]
    # The model, its scores, and how it is called.
    (version,) = client.search_model_versions(f"name = 'one' and run_id = '{id}'")
    assert version.tags["seed"] == str(run.seed)
    assert float(version.tags["1 step 2-Wasserstein distance"]) == pytest.approx(score, rel=1e-3)
    named = client.get_model_version_by_alias("one", f"small-independent-seed{run.seed}")
    assert named.version == version.version
    model = client.get_logged_model(seed.outputs.model_outputs[0].model_id)
    assert {each.key: each.value for each in model.metrics}[SCORE] == score


def content(client, runs):
    """All that MLflow holds of runs, but for the times of changes."""
    found = []
    for run in runs:
        id = run.info.run_id
        run = client.get_run(id)
        history = {
            key: sorted((each.step, each.value) for each in client.get_metric_history(id, key))
            for key in run.data.metrics
        }
        artifacts = [each.path for each in client.list_artifacts(id)]
        images = [each.path for each in client.list_artifacts(id, "images")]
        times = (run.info.status, run.info.start_time, run.info.end_time)
        outputs = [each.model_id for each in run.outputs.model_outputs]
        data = (run.data.params, run.data.tags, len(run.inputs.dataset_inputs))
        found.append((times, data, history, artifacts, images, outputs))
    versions = client.search_model_versions("name = 'one'")
    return found, [(each.version, each.tags, each.run_id) for each in versions]


def samples(folder, uri):
    """Samples of the registered model, and those of the run itself."""
    import mlflow

    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        model = mlflow.pyfunc.load_model("models:/one@small-independent-seed1")
        return model, vct.load(folder / RUNS[1].directory)
    finally:
        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)


def test_a_suite_in_a_file_that_moves(project, tmp_path, monkeypatch):
    check(project)
    moved = tmp_path / "moved"
    project.rename(moved)
    monkeypatch.chdir(moved)
    client = Store(moved).connect()
    model, run = samples(moved, Store(moved).uri)
    x = model.predict(5)
    assert x.shape == (5, 2, 1, 1) and np.array_equal(x, run.sample(5).numpy())
    again = model.predict(np.array([[5]]), params={"steps": 2, "seed": 3})
    assert np.array_equal(again, run.sample(5, steps=2, seed=3).numpy())
    for wrong in (0, 1.5, "many"):
        with pytest.raises(vct.lab.errors.UserError):
            model.predict(wrong)
    place = client.get_logged_model(model.metadata.model_id).artifact_location
    assert place.startswith(str(moved))
    files = [path for path in moved.rglob("mlartifacts/**/*") if path.is_file()]
    assert not [path.name for path in files if path.suffix in (".pkl", ".pickle", ".pt", ".bin")]
    with closing(sqlite3.connect(moved / "mlflow.db")) as database:
        dump = "\n".join(database.iterdump())
    assert str(project) not in dump


def test_a_suite_on_a_server(project, template, tmp_path, monkeypatch):
    far = tmp_path / "far"
    far.mkdir()
    shutil.copy(template / "mlflow.db", far)
    server = Server(far)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    try:
        check(project)
        model, run = samples(project, server.uri)
        assert np.array_equal(model.predict(3), run.sample(3).numpy())
    finally:
        server.stop()


def test_a_seed_that_comes_later_changes_the_mean(project):
    late = project / RUNS[1].directory
    late.rename(project / "late")
    assert cli.main(["track", "sync", str(RUNS[0])]) == 0
    parent = of(project, "independent (small)")
    assert parent.data.tags["seeds"] == "0"
    assert parent.data.metrics[SCORE] == pytest.approx(number(RUNS[0]))
    (project / "late").rename(late)
    assert cli.main(["track", "sync"]) == 0
    parent = of(project, "independent (small)")
    assert parent.data.tags["seeds"] == "0, 1"
    mean = statistics.mean(number(run) for run in RUNS)
    assert parent.data.metrics[SCORE] == pytest.approx(mean)


def test_a_seed_that_is_trained_anew_counts_once(project):
    send()
    run = RUNS[0]
    for stage in (["train", str(run), "--fresh"], ["sample", str(run)], ["score", str(run)]):
        assert cli.main(stage) == 0
    send()
    kept = [run for run in every(project, "small") if run.info.run_name.startswith("seed0 ")]
    assert len(kept) == 2
    parent = of(project, "independent (small)")
    assert parent.data.tags["seeds"] == "0, 1"
    spread = parent.data.metrics[SCORE.replace("scores", "variation over seeds sd", 1)]
    assert spread == pytest.approx(statistics.stdev(number(run) for run in RUNS))
    assert parent.info.end_time == max(run.info.end_time for run in kept)


def test_scores_of_an_earlier_training_are_not_sent_with_the_next(project):
    """Between training and scoring they still lie in the folder."""
    send()
    run = str(RUNS[0])
    change("train", "steps", 10)
    assert cli.main(["train", run]) == 0
    send()
    mine = [one for one in every(project, "small") if one.info.run_name.startswith("seed0 ")]
    new = max(mine, key=lambda one: one.info.start_time)
    assert len(mine) == 2 and new.info.status == "FINISHED"
    assert not [key for key in new.data.metrics if key.startswith("scores")]
    client = Store(project).connect()
    assert not client.list_artifacts(new.info.run_id, "images")
    assert len(client.search_model_versions("name = 'one'")) == 2
    for stage in ("sample", "score"):
        assert cli.main([stage, run]) == 0
    send()
    assert client.get_run(new.info.run_id).data.metrics[SCORE] == number(RUNS[0])
    assert len(client.search_model_versions("name = 'one'")) == 3


def test_what_was_sampled_again_is_another_model_with_its_own_scores_and_pictures(project):
    change("sample", "mid_times", [2.0])
    for run in RUNS:
        for stage in ("sample", "score"):
            assert cli.main([stage, str(run)]) == 0
    send()
    client, two = Store(project).connect(), SCORE.replace("1 step", "2 steps")
    id = of(project, "seed0 independent (small)").info.run_id
    pictures = len(client.list_artifacts(id, "images"))
    assert of(project, "independent (small)").data.metrics[two] > 0
    change("sample", "mid_times", [])
    change("sample", "seed", 1)
    for stage in ("sample", "score"):
        assert cli.main([stage, str(RUNS[0])]) == 0
    send()
    # Its row has seeds of two kinds of samples now, so no mean.
    row = of(project, "independent (small)").data.metrics
    spread = SCORE.replace("scores", "variation over seeds sd", 1)
    assert all(math.isnan(row[key]) for key in (SCORE, ALONG, spread))
    metrics = client.get_run(id).data.metrics
    assert metrics[SCORE] == number(RUNS[0]) and math.isnan(metrics[two])
    assert len(client.list_artifacts(id, "images")) > pictures
    versions = client.search_model_versions(f"name = 'one' and run_id = '{id}'")
    tags = [version.tags for version in sorted(versions, key=lambda one: int(one.version))]
    assert ["2 steps 2-Wasserstein distance" in each for each in tags] == [True, False]
    named = client.get_model_version_by_alias("one", "small-independent-seed0")
    assert named.tags == tags[1]
    for stage in ("sample", "score"):
        assert cli.main([stage, str(RUNS[1])]) == 0
    send()
    mean = statistics.mean(number(run) for run in RUNS)
    assert of(project, "independent (small)").data.metrics[SCORE] == pytest.approx(mean)


def test_a_sync_without_scores_takes_none_away_and_adds_no_pictures(project):
    """As in a clone that pulled trainings alone, or while scores are made again."""
    send()
    client = Store(project).connect()
    id = of(project, "seed0 independent (small)").info.run_id
    before = client.get_run(id).data.metrics, len(client.list_artifacts(id, "images"))
    row = of(project, "independent (small)").data.metrics
    for name in ("metrics.json", "protocol.json", "trajectory.csv", "samples.npz"):
        (project / RUNS[0].directory / name).unlink()
    for _ in range(2):
        assert cli.main(["track", "sync", str(RUNS[0])]) == 0
        assert before == (client.get_run(id).data.metrics, len(client.list_artifacts(id, "images")))
    assert of(project, "independent (small)").data.metrics == row


def test_what_was_sent_before_samples_were_noted_is_sent_no_second_time(project):
    send()
    client = Store(project).connect()
    found = [of(project, f"seed{seed} independent (small)") for seed in (0, 1)]
    for run in found:
        for tag in ("vct.samples_sha256", "vct.protocol_sha256"):
            client.delete_tag(run.info.run_id, tag)
        (output,) = run.outputs.model_outputs
        client.delete_logged_model_tag(output.model_id, "vct.samples_sha256")
    for version in client.search_model_versions("name = 'one'"):
        client.delete_model_version_tag("one", version.version, "vct.samples_sha256")
    pictures = len(client.list_artifacts(found[0].info.run_id, "images"))
    assert cli.main(["track", "sync", str(RUNS[0])]) == 0
    mean = of(project, "independent (small)").data.metrics[SCORE]
    assert mean == pytest.approx(statistics.mean(number(run) for run in RUNS))
    send()
    assert len(client.search_model_versions("name = 'one'")) == 2
    assert len(of(project, "seed0 independent (small)").outputs.model_outputs) == 1
    assert len(client.list_artifacts(found[0].info.run_id, "images")) == pictures


def change(section, key, value):
    settings = yaml.safe_load(Path("params.yaml").read_text())
    settings["experiments"]["small"][section][key] = value
    Path("params.yaml").write_text(yaml.safe_dump(settings))


def test_runs_that_are_not_here_are_no_problem(project, capfd):
    """Of a suite whose runs git keeps in part."""
    (project / RUNS[1].directory).rename(project / "elsewhere")
    shutil.rmtree(project / RUNS[1].state)
    capfd.readouterr()
    send()
    assert "warning" not in capfd.readouterr().err
    assert of(project, "independent (small)").data.tags["seeds"] == "0"


def test_a_damaged_model_keeps_nothing_else_back(project, capfd):
    (project / RUNS[0].directory / "model.safetensors").write_bytes(b"damaged")
    capfd.readouterr()
    assert cli.main(["track", "sync", str(RUNS[0])]) == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and "model.safetensors is not the file" in err
    run = of(project, "seed0 independent (small)")
    assert run.info.status == "FINISHED" and run.data.metrics[SCORE] == number(RUNS[0])
    assert run.outputs is None or not run.outputs.model_outputs


def test_the_commit_is_that_which_was_checked_out_when_training_began(tmp_path):
    git, inside = tmp_path / ".git/logs", tmp_path / "a/b"
    git.mkdir(parents=True)
    inside.mkdir(parents=True)
    first, second = "1" * 40, "2" * 40
    lines = [
        f"{'0' * 40} {first} A B <a@b> 1000 +0100\tcommit (initial): x",
        f"{first} {second} A B <a@b> 2000 +0100\tcheckout: moving from a b to c",
    ]
    (git / "HEAD").write_text("\n".join([*lines, "torn"]))
    found = [commit_at(inside, time) for time in (999_999, 1_000_000, 1_999_999, 2_000_000)]
    assert found == [None, first, first, second]
    other = tmp_path / "other"
    other.mkdir()
    (other / ".git").write_text("gitdir: ../.git\n")
    assert commit_at(other, 2_000_000) == second
