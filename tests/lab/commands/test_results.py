"""A stage takes from another what belongs to the run, and nothing else."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from vct.lab import cli
from vct.lab.files.layout import RunId
from vct.lab.runs import samples, weights
from vct.lab.sampling.drawing import Drawing

RUN = "small/variational/seed0"


def folder(project, run=RUN):
    return project / "results" / run


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def change(path, **entries):
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def test_every_stage_records_what_it_read_and_wrote(project):
    run = folder(project)
    trained = json.loads((run / "config.json").read_text())["files"]
    assert set(trained) == {"model.safetensors", "snapshots.safetensors", "training.csv"}
    drawn = json.loads(str(np.load(run / "samples.npz")["record"]))
    assert set(drawn["files"]) == {"model.safetensors", "snapshots.safetensors"}
    scored = json.loads((run / "protocol.json").read_text())["files"]
    assert set(scored) == {"config.json", "samples.npz", "metrics.json", "trajectory.csv"}
    for recorded in (trained, drawn["files"], scored):
        assert recorded == {name: digest(run / name) for name in recorded}


def test_stages_repeat_to_the_byte(project):
    before = {path.name: digest(path) for path in folder(project).iterdir()}
    for stage in ("sample", "score"):
        assert cli.main([stage, RUN]) == 0
    assert {path.name: digest(path) for path in folder(project).iterdir()} == before


def test_samples_of_other_weights_are_not_scored(project, refused):
    """The same settings, data and folder, but weights of another training."""
    run = folder(project)
    path = run / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    record = json.loads((run / "config.json").read_text())
    change(run / "config.json", files={**record["files"], path.name: digest(path)})
    metrics = (run / "metrics.json").read_bytes()
    message = refused("score", RUN)
    assert "samples.npz was drawn from other weights" in message and f"vct sample {RUN}" in message
    assert (run / "metrics.json").read_bytes() == metrics
    assert cli.main(["sample", RUN]) == 0
    assert cli.main(["score", RUN]) == 0


def test_weights_that_training_did_not_write_are_not_sampled(project, refused):
    for name in ("model.safetensors", "snapshots.safetensors"):
        path = folder(project) / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert f"{name} is not the file that config.json" in refused("sample", RUN)
        path.write_bytes(whole)


def test_a_run_of_other_data_is_neither_sampled_nor_scored(project, refused):
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(
        text.replace("source: mixture", "source: mixture\n    seed: 5")
    )
    assert cli.main(["data", "points"]) == 0
    for stage in ("sample", "score"):
        message = refused(stage, RUN)
        assert "was trained on other data than data/points holds" in message
        assert f"vct train {RUN}" in message


def test_samples_of_other_settings_or_sampler_are_not_scored(project, refused, monkeypatch):
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("num_samples: 16", "num_samples: 17", 1))
    assert "with other settings than params.yaml holds" in refused("score", RUN)
    (project / "params.yaml").write_text(text)
    monkeypatch.setattr("vct.lab.versions.SAMPLING", 99)
    assert "of the sampler, not 99" in refused("score", RUN)


def test_a_copied_run_is_refused(project, refused):
    shutil.copytree(folder(project), folder(project, "small/variational/seed1"))
    for stage in ("sample", "score"):
        assert f"is of the run '{RUN}'" in refused(stage, "small/variational/seed1")


@pytest.mark.parametrize(
    "content", ["", "[]", "3", '{"run": 1}', '{"settings_sha256": null, "files": 3}']
)
def test_a_damaged_record_is_one_sentence(project, refused, content):
    (folder(project) / "config.json").write_text(content)
    for stage in ("sample", "score"):
        assert "config.json" in refused(stage, RUN)


@pytest.mark.parametrize("record", [None, "", "[]", '{"version": 2}', '{"version": 2, "files": 1}'])
def test_samples_without_origin_are_refused(project, refused, record):
    path = folder(project) / "samples.npz"
    arrays = dict(np.load(path))
    del arrays["record"]
    if record is not None:
        arrays["record"] = np.array(record)
    np.savez(path, **arrays)
    why = (
        "is missing or damaged ('record')"
        if record is None
        else "does not hold a whole SampleRecord"
    )
    said = refused("score", RUN)
    assert why in said and f"draw again: vct sample {RUN}" in said


def test_samples_are_of_the_weights_they_were_drawn_from(project, refused, monkeypatch, capsys):
    """A training of the run ends while its samples are being drawn."""
    run = folder(project)
    draw = Drawing.all_results

    def slow(self, *arguments):
        arrays = draw(self, *arguments)
        other = run / "model.safetensors"
        other.write_bytes(other.read_bytes() + b" ")
        record = json.loads((run / "config.json").read_text())
        change(run / "config.json", files={**record["files"], other.name: digest(other)})
        return arrays

    monkeypatch.setattr(Drawing, "all_results", slow)
    assert cli.main(["sample", RUN]) == 0
    capsys.readouterr()
    assert "samples.npz was drawn from other weights" in refused("score", RUN)


def test_scores_are_of_the_samples_that_were_scored(project, refused, monkeypatch):
    """Samples are drawn anew while the old ones are being scored."""
    run = folder(project)
    read = samples.read

    def slow(*arguments):
        arrays = read(*arguments)
        (run / "samples.npz").write_bytes(b"others")
        return arrays

    monkeypatch.setattr(samples, "read", slow)
    old = digest(run / "samples.npz")
    assert cli.main(["score", RUN]) == 0
    assert json.loads((run / "protocol.json").read_text())["files"]["samples.npz"] == old


def test_a_record_whose_settings_were_edited_is_damaged(project, refused):
    path = folder(project) / "config.json"
    settings = json.loads(path.read_text())["settings"]
    settings["train"]["sigma_data"] = 0.7
    change(path, settings=settings)
    for stage in ("sample", "score"):
        assert "config.json is damaged: its settings" in refused(stage, RUN)


def test_no_memory_is_no_damage(project, refused, monkeypatch):
    def none(*_, **__):
        raise MemoryError

    monkeypatch.setattr(weights, "safe_open", none)
    assert "memory is exhausted" in refused("sample", RUN)


def change_samples(folder):
    whole = (folder / "samples.npz").read_bytes()
    yield b""
    yield b"PK\x03\x04"
    yield b"other" * 99
    yield whole[:-30]
    yield whole[: len(whole) // 2]
    place = whole.index(b"NUMPY") + 200
    yield whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]


def test_samples_that_were_cut_or_changed_are_not_scored(project, refused):
    path = folder(project) / "samples.npz"
    for content in list(change_samples(folder(project))):
        path.write_bytes(content)
        assert "is missing or damaged" in refused("score", RUN)
    path.unlink()
    assert "is missing" in refused("score", RUN)


@pytest.mark.parametrize("change", ["more", "less"])
def test_samples_that_the_sampler_does_not_give_are_not_scored(project, refused, change):
    path = folder(project) / "samples.npz"
    arrays = dict(np.load(path))
    if change == "more":
        arrays["evil7"] = arrays["steps1"]
    else:
        del arrays["steps1"]
    np.savez(path, **arrays)
    assert "not the sampler's 'steps1, steps2, steps3'" in refused("score", RUN)


def test_any_flipped_byte_of_samples_is_a_sentence_or_costs_nothing(project, capsys):
    """Of the archive's directory too, which no checksum covers."""
    path = folder(project) / "samples.npz"
    whole, draw = path.read_bytes(), np.random.default_rng(0)
    for place in [*draw.integers(0, len(whole), 40), *range(len(whole) - 400, len(whole), 8)]:
        changed = bytearray(whole)
        changed[place] ^= 1 << int(draw.integers(8))
        path.write_bytes(changed)
        assert cli.main(["score", RUN]) in (0, 2)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("key", ["steps1", "steps3", "snapshot20", "pair_z"])
@pytest.mark.parametrize("wild", [np.nan, np.inf])
def test_points_that_are_not_finite_are_no_samples(project, refused, key, wild):
    arrays, record = samples.read(RunId.parse(RUN))
    arrays.setdefault(key, arrays["steps1"].copy())[3] = wild
    samples.write(RunId.parse(RUN), arrays, record)
    before = {path.name: digest(path) for path in folder(project).iterdir()}
    said = refused("score", RUN)
    assert f"samples.npz holds numbers that are not finite ({key})" in said and "diverged" in said
    assert {path.name: digest(path) for path in folder(project).iterdir()} == before


def test_large_finite_points_are_scored(project):
    arrays, record = samples.read(RunId.parse(RUN))
    arrays["steps1"][0] = 1e38
    samples.write(RunId.parse(RUN), arrays, record)
    assert cli.main(["score", RUN]) == 0
    assert json.loads((folder(project) / "metrics.json").read_text())["steps1"]["w2"] > 1e36


@pytest.mark.parametrize("key", ["steps1", "steps2"])
@pytest.mark.parametrize("count", [15, 17])
def test_another_number_of_samples_is_not_scored(project, refused, key, count):
    """The protocol would say that there are 16."""
    arrays, record = samples.read(RunId.parse(RUN))
    arrays[key] = np.resize(arrays[key], (count, *arrays[key].shape[1:]))
    samples.write(RunId.parse(RUN), arrays, record)
    assert f"samples.npz holds {{'{key}': {count}}} samples, not 16" in refused("score", RUN)


RECORDED = {"data_sha256": "0" * 64, "files": {"model.safetensors": "0" * 64}}


@pytest.mark.parametrize("entry", [*RECORDED, "snapshots.safetensors"])
def test_samples_of_other_data_or_weights_are_not_scored(project, refused, entry):
    """Whatever their record says that is not in config.json."""
    arrays, record = samples.read(RunId.parse(RUN))
    other = RECORDED.get(entry, {**record.files, entry: "0" * 64})
    key = entry if entry in RECORDED else "files"
    samples.write(RunId.parse(RUN), arrays, record.model_copy(update={key: other}))
    assert "was drawn from other weights or data than config.json" in refused("score", RUN)
