"""What `collect` reads, and what it refuses."""

import json
import math

import pytest
from support import params

from vct.lab.errors import UserError
from vct.lab.report.collect import COLUMNS, ExperimentRows, collect
from vct.lab.settings import reading
from vct.lab.settings.run import settings_sha256


def change(path, **entries):
    """Replace entries of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def resettle(path, settings):
    """Settings of a config.json, with their hash."""
    change(path, settings=settings, settings_sha256=settings_sha256(settings))


def test_one_row_per_run_metric_and_samples(project, digits, mixture):
    found = collect([digits, mixture])
    frame = found.frame
    assert list(frame.columns) == COLUMNS
    assert len(frame) == 9 * 2 + 3 + 2 * 2 * 4
    chosen = (frame.coupling == "ot") & (frame.seed == 1) & (frame.samples == "steps2")
    assert frame[chosen].value.tolist() == [50.0]
    own = frame[frame.metric == "aggregate_variance"]
    assert set(own.samples) == {""} and set(own.value) == {0.8}
    floor = found.floors["digits_small"]
    assert (floor.scores, floor.num_samples) == ({"fid_classifier": 2.125}, 500)
    assert found.protocols["mixture"].extractor is None


def test_rows_keep_the_order_of_the_settings(project, digits, li):
    frame = collect([li, digits]).frame
    assert list(dict.fromkeys(frame.experiment)) == ["digits_li", "digits_small"]
    assert list(dict.fromkeys(frame[frame.experiment == "digits_small"].coupling)) == list(
        digits.couplings
    )


def test_rows_of_an_experiment_of_the_settings():
    """A variant that has a name of its own keeps it, since two may be of one kind."""
    changes = {"experiments.small.variants": ["ot", "strong"]}
    content = params({**changes, "experiments.small.couplings.strong": {"kind": "ot"}})
    rows = ExperimentRows.of("small", reading.validate(content).experiment("small"))
    assert rows.couplings == {"ot": "minibatch OT", "strong": "strong"}
    assert (rows.kernel, rows.kernel_label) == ("ve", "VE")
    assert (rows.objective, rows.objective_label, rows.trains) == ("ict", "iCT", "consistency")
    assert [str(run) for run in rows.runs()] == [
        f"small/{coupling}/seed{seed}" for coupling in ("ot", "strong") for seed in (0, 1)
    ]


def test_a_score_that_was_not_finite_is_kept_as_such(project, digits, scored_again):
    path = project / "results/digits_small/ot/seed1/metrics.json"
    path.write_text('{"steps1": {"fid_classifier": null}, "aggregate_variance": null}')
    scored_again(path.parent)
    frame = collect([digits]).frame
    mine = frame[(frame.coupling == "ot") & (frame.seed == 1)]
    assert len(mine) == 1 and math.isnan(mine.iloc[0].value)


@pytest.mark.parametrize(
    "name", ["ot/seed1/metrics", "ot/seed0/config", "variational/seed2/protocol", "floor"]
)
@pytest.mark.parametrize("content", [None, "", "{", "[]"])
def test_a_missing_or_damaged_file_is_named(project, digits, name, content):
    path = project / "results/digits_small" / f"{name}.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(UserError, match=f"{name}.json") as error:
        collect([digits])
    assert "\n" not in str(error.value)


OTHER = {"name": "x", "kind": "classifier", "sha256": "0", "features": 1}
REFERENCE = {"dataset": "digits", "split": "train", "size": 1, "sha256": "0"}


@pytest.mark.parametrize(
    ("file", "entries", "key"),
    [
        ("config", {"data_sha256": "0" * 64}, "data_sha256"),
        ("config", {"code": {"vct": "0.1.0", "training": 2}}, "code.training"),
        ("protocol", {"num_samples": 1000}, "num_samples"),
        ("protocol", {"extractor": OTHER}, "extractor"),
        ("protocol", {"reference": REFERENCE}, "reference"),
        ("protocol", {"schedules": {"steps1": [70.0]}}, "schedules"),
        ("protocol", {"extras": {"kid": {"subsets": 10}}}, "extras"),
    ],
)
def test_runs_that_differ_are_not_mixed(project, digits, file, entries, key, scored_again):
    folder = project / "results/digits_small/ot/seed1"
    change(folder / f"{file}.json", **entries)
    scored_again(folder)
    with pytest.raises(UserError, match=rf"ot/seed1/{file}\.json: {key} differs"):
        collect([digits])


@pytest.mark.parametrize("part", ["train", "coupling"])
def test_runs_of_a_row_share_their_settings(project, digits, scored_again, part):
    path = project / "results/digits_small/ot/seed1/config.json"
    settings = json.loads(path.read_text())["settings"]
    resettle(path, {**settings, part: {**settings[part], "more": 1}})
    scored_again(path.parent)
    with pytest.raises(UserError, match=r"seed1/config\.json: settings differs"):
        collect([digits])


def test_couplings_of_an_experiment_share_their_training_settings(project, digits, scored_again):
    for seed in digits.seeds:
        path = project / f"results/digits_small/ot/seed{seed}/config.json"
        resettle(path, {"train": {"dataset": "digits", "steps": 20}, "coupling": {"kind": "ot"}})
        scored_again(path.parent)
    with pytest.raises(UserError, match="settings differs"):
        collect([digits])


def test_the_code_version_in_words_may_differ(project, digits, scored_again):
    path = project / "results/digits_small/ot/seed1/config.json"
    change(path, code={"vct": "0.1.1", "training": 1})
    scored_again(path.parent)
    collect([digits])


def test_a_run_copied_from_elsewhere_is_refused(project, digits):
    change(project / "results/digits_small/ot/seed1/config.json", run="digits_small/ot/seed0")
    with pytest.raises(UserError, match="is of the run"):
        collect([digits])


@pytest.mark.parametrize(
    ("key", "value"), [("reference", REFERENCE), ("extractor", OTHER), ("version", 9)]
)
def test_a_floor_of_another_reference_or_extractor_is_refused(project, digits, key, value):
    change(project / "results/digits_small/floor.json", **{key: value})
    with pytest.raises(UserError, match=rf"floor\.json: {key} differs"):
        collect([digits])


def test_scores_of_another_training_have_no_row(project, digits):
    """Weights were trained again, or scores exchanged, and nobody scored since."""
    folder = project / "results/digits_small/ot/seed1"
    for name in ("config.json", "metrics.json"):
        whole = (folder / name).read_text()
        (folder / name).write_text(whole + "\n")
        with pytest.raises(UserError, match=rf"{name} is not the file.*vct score digits_small/ot"):
            collect([digits])
        (folder / name).write_text(whole)
    change(folder / "protocol.json", files={})
    with pytest.raises(UserError, match=r"config\.json is not the file that protocol\.json"):
        collect([digits])


def test_a_row_names_the_samples_it_was_measured_on_and_what_computed_it(project, digits):
    frame = collect([digits]).frame
    mine = frame[(frame.coupling == "ot") & (frame.seed == 1)]
    sealed = json.loads((project / "results/digits_small/ot/seed1/protocol.json").read_text())
    assert set(mine.samples_sha256) == {sealed["files"]["samples.npz"]}
    assert set(mine.versions) == {"training 1 sampling 2 scoring 2"}
