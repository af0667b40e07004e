"""What `collect` reads, and what it refuses."""

import json
import math

import pytest

from vct.lab.errors import UserError
from vct.lab.report.collect import COLUMNS, collect


def change(path, **entries):
    """Replace entries of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def test_one_row_per_run_metric_and_steps(project, digits, mixture):
    frame = collect([digits, mixture], project)
    assert list(frame.columns) == COLUMNS
    assert len(frame) == 9 * 2 + 3 + 2 * 2 * 4
    row = frame[(frame.coupling == "ot") & (frame.seed == 1) & (frame.steps == 2)].iloc[0]
    assert (row.value, row.floor, row.floor_samples) == (50.0, 2.125, 500)
    own = frame[frame.metric == "aggregate_variance"]
    assert own.steps.isna().all() and own.floor.isna().all() and set(own.value) == {0.8}


def test_rows_keep_the_order_of_the_settings(project, digits, li):
    frame = collect([li, digits], project)
    assert list(dict.fromkeys(frame.experiment)) == ["digits_li", "digits_small"]
    assert tuple(dict.fromkeys(frame[frame.experiment == "digits_small"].coupling)) == (
        digits.couplings
    )


def test_a_score_that_was_not_finite_is_kept_as_such(project, digits, scored_again):
    path = project / "results/digits_small/ot/seed1/metrics.json"
    path.write_text('{"steps1": {"fid_classifier": null}, "aggregate_variance": null}')
    scored_again(path.parent)
    frame = collect([digits], project)
    mine = frame[(frame.coupling == "ot") & (frame.seed == 1)]
    assert len(mine) == 1 and math.isnan(mine.iloc[0].value)


@pytest.mark.parametrize(
    "name", ["ot/seed1/metrics", "ot/seed0/config", "variational/seed2/protocol", "floor"]
)
@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}"])
def test_a_missing_or_damaged_file_is_named(project, digits, name, content):
    path = project / "results/digits_small" / f"{name}.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(UserError, match=f"{name}.json") as error:
        collect([digits], project)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        '{"steps1": {"fid_classifier": "low"}}',
        '{"steps1": 3}',
        '{"steps1": {"fid_classifier": true}}',
    ],
)
def test_scores_must_be_numbers(project, digits, content, scored_again):
    path = project / "results/digits_small/ot/seed1/metrics.json"
    path.write_text(content)
    scored_again(path.parent)
    with pytest.raises(UserError, match=r"seed1/metrics\.json is damaged"):
        collect([digits], project)


@pytest.mark.parametrize(
    ("file", "entries", "key"),
    [
        ("config", {"settings_sha256": "0" * 64}, "settings_sha256"),
        ("config", {"settings": {"train": {"steps": 11}, "coupling": {}}}, "settings"),
        ("config", {"data_sha256": "0" * 64}, "data_sha256"),
        ("config", {"code": {"vct": "0.1.0", "training": 2}}, "code.training"),
        ("protocol", {"num_samples": 1000}, "num_samples"),
        ("protocol", {"extractor": {"name": "x", "sha256": "0"}}, "extractor"),
        ("protocol", {"reference": {"dataset": "digits", "sha256": "0"}}, "reference"),
        ("protocol", {"schedules": {"steps1": [70.0]}}, "schedules"),
        ("protocol", {"something_new": 1}, "something_new"),
    ],
)
def test_runs_that_differ_are_not_mixed(project, digits, file, entries, key):
    change(project / f"results/digits_small/ot/seed1/{file}.json", **entries)
    with pytest.raises(UserError, match=rf"ot/seed1/{file}\.json: {key} differs"):
        collect([digits], project)


def test_couplings_of_an_experiment_share_their_training_settings(project, digits):
    for seed in digits.seeds:
        path = project / f"results/digits_small/ot/seed{seed}/config.json"
        change(path, settings={"train": {"steps": 20}, "coupling": {"kind": "ot"}})
    with pytest.raises(UserError, match="settings differs"):
        collect([digits], project)


def test_the_code_version_in_words_may_differ(project, digits, scored_again):
    path = project / "results/digits_small/ot/seed1/config.json"
    change(path, code={"vct": "0.1.1", "training": 1})
    scored_again(path.parent)
    collect([digits], project)


def test_a_run_copied_from_elsewhere_is_refused(project, digits):
    change(project / "results/digits_small/ot/seed1/config.json", run="digits_small/ot/seed0")
    with pytest.raises(UserError, match="is of the run"):
        collect([digits], project)


def test_a_floor_of_another_metric_or_reference_is_refused(project, digits):
    path = project / "results/digits_small/floor.json"
    whole = json.loads(path.read_text())
    change(path, reference={"dataset": "mnist"})
    with pytest.raises(UserError, match=r"floor\.json: reference differs"):
        collect([digits], project)
    path.write_text(json.dumps({**whole, "scores": {"w2": 0.1}}))
    with pytest.raises(UserError, match=r"floor\.json is damaged"):
        collect([digits], project)


def test_scores_of_another_training_have_no_row(project, digits):
    """Weights were trained again, or scores exchanged, and nobody scored since."""
    folder = project / "results/digits_small/ot/seed1"
    for name in ("config.json", "metrics.json"):
        whole = (folder / name).read_text()
        (folder / name).write_text(whole + "\n")
        with pytest.raises(UserError, match=rf"{name} is not the file.*vct score digits_small/ot"):
            collect([digits], project)
        (folder / name).write_text(whole)
    change(folder / "protocol.json", files={})
    with pytest.raises(UserError, match=r"protocol\.json is damaged"):
        collect([digits], project)


def test_a_row_names_the_samples_it_was_measured_on_and_what_computed_it(project, digits):
    frame = collect([digits], project)
    mine = frame[(frame.coupling == "ot") & (frame.seed == 1)]
    sealed = json.loads((project / "results/digits_small/ot/seed1/protocol.json").read_text())
    assert set(mine.samples_sha256) == {sealed["files"]["samples.npz"]}
    assert set(mine.versions) == {"training 1 sampling 2 scoring 2"}
    assert "samples.npz" not in mine.iloc[0].protocol
