"""An export is the model, wherever it is carried."""

import shutil
from dataclasses import replace

import pytest
import torch
import yaml
from reused import IMAGES, PAIRED, POINTS

import vct
from vct.lab import cli
from vct.lab.errors import UserError
from vct.lab.files.tensors import load_sealed, save_sealed
from vct.lab.files.whole import hashes
from vct.lab.reuse import export

FILES = {"config.json", "model.safetensors", "prior.safetensors", "preview.png", "README.md"}


def names(folder):
    return {path.name for path in folder.iterdir()}


def rename(folder, run):
    """Make the files of a run say that they are another one's."""
    config, protocol = folder / "config.json", folder / "protocol.json"
    before = hashes(folder, ["config.json"])["config.json"]
    config.write_text(config.read_text().replace(POINTS, run))
    after = hashes(folder, ["config.json"])["config.json"]
    protocol.write_text(protocol.read_text().replace(before, after))


@pytest.mark.parametrize("run", [POINTS, IMAGES, PAIRED])
def test_export_samples_as_the_run_does_without_its_project(here, tmp_path, monkeypatch, run):
    assert cli.main(["export", run, str(tmp_path / "model")]) == 0
    expected = vct.load(run)
    monkeypatch.chdir(tmp_path)
    found = vct.load("model")
    assert found.priors == expected.priors
    for prior in found.priors:
        ours, theirs = (each.sample(7, steps=2, prior=prior) for each in (found, expected))
        assert torch.equal(ours, theirs)
    assert names(tmp_path / "model") == (FILES if run != PAIRED else FILES - {"prior.safetensors"})


def test_card_says_what_it_is(here, tmp_path):
    export.write(f"results/{POINTS}", tmp_path / "m", "cc-by-4.0")
    text = (tmp_path / "m/README.md").read_text()
    _, header, body = text.split("---\n", 2)
    assert yaml.safe_load(header)["license"] == "cc-by-4.0"
    score = vct.load(POINTS).scores["fitted-steps1"]["w2"]
    for words in (POINTS, "variational", f"{score:.4g}", "drawn by a random generator", "vct.load"):
        assert words in body


@pytest.fixture
def three_seeds(here, tmp_path):
    """The folder of three runs that differ in their seed alone, beside their data."""
    folder = tmp_path / "results/small/variational"
    shutil.copytree(here / "data", tmp_path / "data")
    for seed in (0, 1, 2):
        shutil.copytree(f"results/{POINTS}", folder / f"seed{seed}")
        rename(folder / f"seed{seed}", f"small/variational/seed{seed}")
    return folder


def test_spread_over_seeds_is_on_the_card(three_seeds, tmp_path):
    shutil.copytree(f"results/{POINTS}", three_seeds / "seed3")  # no run of that seed
    export.write(three_seeds / "seed0", tmp_path / "m")
    assert "± 0 (3)" in (tmp_path / "m/README.md").read_text()


def test_seeds_of_another_protocol_are_not_on_the_card(three_seeds, tmp_path):
    other = three_seeds / "seed2/protocol.json"
    other.write_text(other.read_text().replace('"sample_seed": 0', '"sample_seed": 7'))
    export.write(three_seeds / "seed0", tmp_path / "m")
    assert "± 0 (2)" in (tmp_path / "m/README.md").read_text()


def test_older_export_is_replaced_and_anything_else_is_left_alone(here, tmp_path):
    target = tmp_path / "m"
    export.write(f"results/{POINTS}", target)
    export.write(f"results/{IMAGES}", target)
    assert vct.load(target).shape == (1, 8, 8)
    (target / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds something else \(README.md"):
        export.write(f"results/{POINTS}", target)
    assert names(target) == FILES | {"notes.txt"}
    with pytest.raises(UserError, match="folder of the model itself"):
        export.write(f"results/{POINTS}", f"results/{POINTS}")
    with pytest.raises(UserError, match="is a file"):
        export.write(f"results/{POINTS}", "params.yaml")


def test_export_of_an_export_is_the_same(here, tmp_path):
    export.write(f"results/{POINTS}", tmp_path / "one", "mit")
    export.write(tmp_path / "one", tmp_path / "two")
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_nothing_is_left_where_an_export_fails(here, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "write_text", full)
    with pytest.raises(UserError, match="No space left"):
        export.write(f"results/{POINTS}", tmp_path / "deep/m")
    assert names(tmp_path / "deep") == set()


@pytest.mark.parametrize("name", ["model.safetensors", "prior.safetensors", "config.json"])
def test_damaged_export_is_refused(here, tmp_path, name):
    export.write(f"results/{POINTS}", tmp_path / "m")
    path = tmp_path / "m" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content[:-40] if name == "config.json" else content)
    with pytest.raises(UserError, match=name):
        vct.load(tmp_path / "m")
    (tmp_path / "m/model.safetensors").unlink(missing_ok=True)
    with pytest.raises(UserError):
        vct.load(tmp_path / "m")


def test_prior_of_another_model_is_refused(here, tmp_path):
    export.write(f"results/{POINTS}", tmp_path / "m")
    path = tmp_path / "m/prior.safetensors"
    facts, tensors = load_sealed(path, "prior", "")
    save_sealed(path, "prior", facts, {name: x + 1 for name, x in tensors.items()})
    with pytest.raises(UserError, match=r"prior.safetensors is not the file that config.json"):
        vct.load(tmp_path / "m")


def test_licence_of_published_weights_holds_for_what_was_made_of_them(here, tmp_path):
    model = vct.load(POINTS)
    run = model.description.record.run.model_copy(update={"initial_weights_license": "CC BY 4.0"})
    record = model.description.record.model_copy(update={"run": run})
    found = model.description = replace(model.description, record=record)
    assert export._license(found, None) == "CC BY 4.0"
    with pytest.raises(UserError, match="go back to published ones"):
        export._license(found, "mit")
    export.fill(model, tmp_path)  # as MLflow and the Hub do
    assert "license: CC BY 4.0" in (tmp_path / "README.md").read_text()
