"""What was measured outlives the machine: tables are made of the small files that git keeps."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from vct.lab import cli, versions
from vct.lab.files.layout import KEPT_FILES, RunId
from vct.lab.files.whole import file_sha256
from vct.lab.runs.current import is_current
from vct.lab.settings import reading
from vct.lab.workflow import graph

RUN = RunId.parse("small/variational/seed0")
KEPT = Path(f"results/one/runs/{RUN}")


@pytest.fixture
def kept(project):
    """The finished run, kept, and then gone with its data; the suite has no other."""
    settings = yaml.safe_load(Path("params.yaml").read_text())
    settings["experiments"]["small"] |= {"variants": ["variational"], "seeds": [0]}
    Path("params.yaml").write_text(yaml.safe_dump(settings))
    assert cli.main(["floor", "small"]) == 0
    assert cli.main(["table", "one"]) == 0
    before = Path("results/one/table.csv").read_bytes()
    assert cli.main(["keep", "one"]) == 0
    for folder in ("results/small", "data", "state"):
        shutil.rmtree(folder)
    Path("results/one/table.csv").unlink()
    return before


def test_a_suite_that_git_ignores_is_said_to_be(project, capsys):
    subprocess.run(["git", "init", "-q", "."], check=True)
    Path(".gitignore").write_text("/results/*\n")
    assert cli.main(["keep", "one"]) == 0
    assert "add !/results/one/ to .gitignore" in capsys.readouterr().err
    Path(".gitignore").write_text("/results/*\n!/results/one/\n")
    assert cli.main(["keep", "one"]) == 0
    assert ".gitignore" not in capsys.readouterr().err


def test_the_table_is_made_of_what_was_kept(kept):
    assert {path.name for path in KEPT.iterdir()} == set(KEPT_FILES)
    assert cli.main(["table", "one"]) == 0
    assert Path("results/one/table.csv").read_bytes() == kept
    # Nothing was run again, so that nothing is verified.
    assert cli.main(["verify", "one", "--against", "results/one/table.csv"]) == 2


STAGES = ("train", "prior", "sample", "score")


@pytest.fixture
def two_kept(project):
    """Two couplings with two seeds each, kept, and then gone; the data stay."""
    settings = yaml.safe_load(Path("params.yaml").read_text())
    names = ["independent", "variational"]
    settings["experiments"]["small"] |= {"variants": names, "seeds": [0, 1]}
    Path("params.yaml").write_text(yaml.safe_dump(settings))
    for run in [f"small/{name}/seed{seed}" for name in names for seed in (0, 1)]:
        for stage in STAGES:
            assert cli.main([stage, run]) == 0
    assert cli.main(["floor", "small"]) == 0
    assert cli.main(["keep", "one"]) == 0
    git("init", "-q")
    git("add", "params.yaml", "results/one/runs")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "kept")
    for folder in ("results/small", "state"):
        shutil.rmtree(folder)


def git(*words):
    subprocess.run(["git", *words], check=True)


def made_again(run, **scores):
    """The stages of a run, and then other scores than it has."""
    for stage in STAGES:
        assert cli.main([stage, run]) == 0
    folder = Path("results") / run
    found = json.loads((folder / "metrics.json").read_text())
    found["steps1"] |= scores
    (folder / "metrics.json").write_text(json.dumps(found))
    protocol = json.loads((folder / "protocol.json").read_text())
    protocol["files"]["metrics.json"] = file_sha256(folder / "metrics.json")
    (folder / "protocol.json").write_text(json.dumps(protocol))


def test_runs_that_are_made_again_are_compared_with_what_is_kept_of_them(two_kept, capsys):
    assert cli.main(["verify", "one"]) == 2
    said = capsys.readouterr().err
    assert "none of the 4 runs that results/one/runs keeps was made here" in said
    assert "results/small/independent/seed0/metrics.json" in said
    for stage in STAGES:
        assert cli.main([stage, "small/variational/seed1"]) == 0
    # One that is not at its end says nothing yet.
    for stage in STAGES[:-1]:
        assert cli.main([stage, "small/variational/seed0"]) == 0
    capsys.readouterr()
    assert cli.main(["verify", "one"]) == 0
    said = capsys.readouterr().out
    assert "reproduced, as far as 1 of 4 runs were made again" in said
    assert "identical       small/variational w2, 1 step" in said and "independent" not in said


@pytest.mark.parametrize("kept_again", [False, True])
@pytest.mark.parametrize("floor", ["as it was", "gone", "changed"])
def test_a_number_that_is_another_than_the_kept_one_is_seen(two_kept, capsys, kept_again, floor):
    """Whatever was kept of it since, and whatever the scores of held-out data are here."""
    made_again("small/variational/seed1", w2=100.0)
    if floor == "changed":
        shutil.rmtree("results/small", ignore_errors=True)
        made_again("small/variational/seed1", w2=100.0)
        assert cli.main(["floor", "small"]) == 0
        here = Path("results/small/floor.json")
        content = json.loads(here.read_text())
        content["scores"]["w2"] += 5
        here.write_text(json.dumps(content))
    if kept_again:
        assert cli.main(["keep", "one"]) == 0
    if floor == "gone":
        Path("results/one/runs/small/floor.json").unlink()
    capsys.readouterr()
    assert cli.main(["verify", "one"]) == 2
    said, error = capsys.readouterr()
    if floor == "gone":
        assert "missing         small/variational" in said or "floor.json" in error
    else:
        assert "disagrees       small/variational w2, 1 step" in said and "NOT reproduced" in said
        assert ("held-out real data" in said) == (floor == "changed")


def test_kept_runs_of_other_settings_are_not_called_reproduced(two_kept, capsys):
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("kl_weight: 10", "kl_weight: 11"))
    for stage in STAGES:
        assert cli.main([stage, "small/variational/seed1"]) == 0
    capsys.readouterr()
    assert cli.main(["verify", "one"]) == 2
    assert "not comparable  small/variational w2, 1 step" in capsys.readouterr().out


def test_runs_that_a_table_leaves_out_are_counted(two_kept, capsys):
    assert cli.main(["table", "one", "--finished"]) == 0
    assert "left out" not in capsys.readouterr().err
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("kl_weight: 10", "kl_weight: 11"))
    assert cli.main(["table", "one", "--finished"]) == 0
    assert "one: 2 of 4 runs are left out: not made yet, or of other" in capsys.readouterr().err


def test_engines_do_not_make_kept_runs_again(kept):
    params = reading.load()
    assert graph.to_make(params, "one") == []
    files = [*graph.table_inputs(params, "one"), *graph.suite_files(params, "one")]
    assert not [path for path in files if path.startswith("results/small")]
    assert not [path for path in files if path.endswith(".png")]
    assert all(Path(path).exists() for path in graph.table_inputs(params, "one"))


@pytest.mark.parametrize("version", ["TRAINING", "SAMPLING", "SCORING"])
def test_runs_of_another_version_are_made_again(kept, monkeypatch, version):
    monkeypatch.setattr(versions, version, 99)
    assert graph.to_make(reading.load(), "one") == [RUN]


def test_runs_of_other_settings_are_made_again(kept):
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("steps: 20", "steps: 21"))
    assert graph.to_make(reading.load(), "one") == [RUN]
    assert cli.main(["table", "one"]) == 2


@pytest.mark.parametrize(
    "change",
    [
        "num_samples: 17",
        "seed: 5",
        "pool: 3",
        "noise: sobol",
        "mid_times: [2.0]",
        "classes: as_data",
    ],
)
def test_runs_of_other_samples_are_made_again(kept, change):
    settings = yaml.safe_load(Path("params.yaml").read_text())
    settings["experiments"]["small"]["sample"] |= yaml.safe_load(change)
    Path("params.yaml").write_text(yaml.safe_dump(settings))
    assert graph.to_make(reading.load(), "one") == [RUN]


def changed(place, key, value):
    """params.yaml with another value at a place such as "datasets.points"."""
    settings = part = yaml.safe_load(Path("params.yaml").read_text())
    for name in place.split("."):
        part = part[name]
    part[key] = value
    Path("params.yaml").write_text(yaml.safe_dump(settings))
    return reading.load()


def test_runs_of_other_data_are_made_again(kept):
    """What the data were is kept beside the runs; here they are gone."""
    assert (KEPT.parents[2] / "data/points/meta.json").exists()
    assert graph.to_make(changed("datasets.points", "train", 63), "one") == [RUN]


def test_runs_of_data_that_are_here_in_another_form_are_made_again(kept):
    shutil.rmtree(KEPT.parents[2] / "data")
    before = Path("params.yaml").read_text()
    params = changed("datasets.points", "train", 63)
    assert graph.to_make(params, "one") == []  # nobody knows what they were
    Path("params.yaml").write_text(before)
    assert cli.main(["data", "points"]) == 0
    assert graph.to_make(reading.load(), "one") == []
    assert graph.to_make(changed("datasets.points", "train", 63), "one") == [RUN]
    assert cli.main(["data", "points"]) == 0
    assert graph.to_make(reading.load(), "one") == [RUN]


def test_a_table_shows_no_runs_of_other_settings_that_are_still_there(kept, capsys):
    """They are left out if asked, and the kept ones of now stand for them."""
    for stage in (["data", "points"], *([stage, str(RUN)] for stage in STAGES)):
        assert cli.main(stage) == 0
    steps = Path("params.yaml").read_text()
    changed("experiments.small.train", "steps", 21)
    for command in ("table", "report"):
        capsys.readouterr()
        assert cli.main([command, "one"]) == 2
        assert "trained with other settings (train.steps: 20 -> 21)" in capsys.readouterr().err
    assert cli.main(["table", "one", "--finished"]) == 2  # none is left
    Path("params.yaml").write_text(steps)
    changed("experiments.small.sample", "num_samples", 17)
    assert cli.main(["table", "one"]) == 2
    assert "sampled with other settings or by another version" in capsys.readouterr().err
    for stage in STAGES[1:]:
        assert cli.main([stage, str(RUN)]) == 0
    Path("params.yaml").write_text(steps)
    assert cli.main(["table", "one", "--finished"]) == 0
    assert Path("results/one/table.csv").read_bytes() == kept


def test_edited_scores_are_not_tabled(kept):
    path = KEPT / "metrics.json"
    path.write_text(path.read_text().replace("0.", "0.0", 1))
    assert cli.main(["table", "one"]) == 2


def test_a_table_of_the_finished_runs_leaves_the_others_out(kept):
    settings = yaml.safe_load(Path("params.yaml").read_text())
    settings["experiments"]["small"]["seeds"] = [0, 1]
    Path("params.yaml").write_text(yaml.safe_dump(settings))
    assert cli.main(["table", "one"]) == 2
    assert cli.main(["table", "one", "--finished"]) == 0
    assert Path("results/one/table.csv").read_bytes() == kept


def test_kept_runs_bring_the_weights_that_scored_them(make_project, capsys):
    """Another processor trains the extractor to other last digits, and takes the kept one."""
    changes = {
        "runtime.tracking": False,
        "experiments.pictures.train.steps": 8,
        "experiments.pictures.sample.num_samples": 70,
        "suites": {"cpu": ["small"], "some": ["pictures"]},
    }
    make_project(changes)
    run = "pictures/ot/seed3"
    for stage in (
        ["data", "images"],
        ["extractor", "judge"],
        ["statistics", "images/judge/moments"],
        ["train", run],
        ["sample", run],
        ["score", run],
        ["floor", "pictures"],
        ["keep", "some"],
    ):
        assert cli.main(stage) == 0, stage
    weights = Path("results/extractors/judge/weights.safetensors")
    scored = weights.read_bytes()
    shutil.rmtree("results/extractors")
    capsys.readouterr()
    assert cli.main(["extractor", "judge"]) == 0
    assert "taken from results/some/runs/extractors/judge" in capsys.readouterr().out
    assert weights.read_bytes() == scored
    # Scores of another extractor, or of other numbers of it, are not those of now.
    assert is_current(reading.load(), RunId.parse(run).kept("some"))
    for place, key, value in (
        ("extractors.judge", "width", 4),
        ("experiments.pictures.score", "extras", ["kid"]),
    ):
        text = Path("params.yaml").read_text()
        assert not is_current(changed(place, key, value), RunId.parse(run).kept("some"))
        Path("params.yaml").write_text(text)
    # Of other settings it is trained.
    settings = yaml.safe_load(Path("params.yaml").read_text())
    settings["extractors"]["judge"]["width"] = 4
    Path("params.yaml").write_text(yaml.safe_dump(settings))
    assert cli.main(["extractor", "judge"]) == 0
    assert weights.read_bytes() != scored
    settings["extractors"]["judge"].pop("width")
    Path("params.yaml").write_text(yaml.safe_dump(settings))
    kept = Path("results/some/runs/extractors/judge/weights.safetensors")
    kept.write_bytes(scored[:-1] + bytes([scored[-1] ^ 1]))
    assert cli.main(["extractor", "judge"]) == 2
    assert "restore the folder" in capsys.readouterr().err
