"""Runs that restore images: from held-out ones in the workflow, from given ones by hand."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from support import MLP, params, run_settings
from support import dataset as made

import vct
from vct import rng
from vct.lab import build, cli
from vct.lab.data import dataset
from vct.lab.data.batches import to_float
from vct.lab.diagnosis.scores import scores
from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.reuse import export
from vct.lab.reuse import inputs as inputs_of
from vct.lab.sampling import priors
from vct.lab.sampling.drawing import to_uint8
from vct.lab.settings import reading
from vct.lab.tracking import models
from vct.lab.tracking.files import RunFiles

CPU = torch.device("cpu")
RUN = "pictures/restored/seed3"
COUPLING = {"kind": "conditional", "factor": 2, "hidden": 0.5, "std": 0.5}


def changes(**more):
    return {
        "runtime.tracking": False,
        "experiments.pictures.train.kernel": "li",
        "experiments.pictures.train.t_max": 1.0,
        "experiments.pictures.train.steps": 4,
        "experiments.pictures.train.snapshots": 2,
        "experiments.pictures.train.conditional": True,
        "experiments.pictures.variants": ["restored"],
        "experiments.pictures.couplings": {"restored": COUPLING},
        "experiments.pictures.seeds": [3],
        "experiments.pictures.sample": {
            "num_samples": 23,
            "batch_size": 5,
            "mid_times": [0.5],
            "snapshot_samples": 23,
        },
        **more,
    }


@pytest.fixture(scope="module")
def restored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("restored")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        folder.joinpath("params.yaml").write_text(yaml.safe_dump(params(changes())))
        for stage in (["data", "images"], ["train", RUN], ["sample", RUN]):
            assert cli.main(stage) == 0, stage
    return folder


@pytest.fixture
def here(restored, monkeypatch):
    monkeypatch.chdir(restored)
    return restored


def test_the_workflow_restores_held_out_images_of_the_class(here):
    """By hand: noise around a degraded held-out image goes through the network."""
    model, data = vct.load(RUN), dataset.load("images")
    with np.load(f"results/{RUN}/samples.npz") as file:
        found = file["steps1"]
    eps = rng.normal_rows((23, *data.shape), 0, 0, "sample step 0", device=torch.device("cpu"))
    number = rng.uniform_rows(23, 0, 0, "aggregate").numpy()
    labels = np.arange(23) % data.meta.classes
    members = [np.flatnonzero(data.test.labels == label) for label in labels]
    places = [own[int(u * len(own))] for own, u in zip(members, number, strict=True)]
    x = to_float(data, torch.from_numpy(np.array(data.test.x[places])))
    z = model.coupling.couple(x, eps)
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(labels), data.meta.classes).float()
    with torch.no_grad():
        made = model(z, torch.ones(23), one_hot)
    assert np.abs(found.astype(int) - to_uint8(made).numpy()).max() <= 1
    # So does what the averaged network made along training.
    with np.load(f"results/{RUN}/samples.npz") as file:
        np.testing.assert_array_equal(file["snapshot4"], found)
        assert not np.array_equal(file["snapshot2"], found)


def given(count, size):
    values = rng.uniform_rows(count * size * size, 0, 5, "given").reshape(count, 1, size, size)
    return (values * 255).to(torch.uint8)


@pytest.mark.parametrize("size", [8, 4])
def test_given_images_are_restored_in_their_order(here, tmp_path, size):
    images, folder = given(3, size), tmp_path / "given"
    folder.mkdir()
    for index, image in enumerate(images.numpy()):
        Image.fromarray(image[0]).save(folder / f"{'bca'[index]}.png")
    out = tmp_path / "out"
    options = ["--labels", "2", "--seed", "7", "--steps", "2"]
    assert cli.main(["sample", RUN, "--out", str(out), "--inputs", str(folder), *options]) == 0
    assert sorted(p.name for p in out.iterdir()) == ["00000.png", "00001.png", "00002.png"]
    expected = vct.load(RUN).sample(3, steps=2, labels=2, seed=7, inputs=images[[2, 0, 1]])
    found = np.stack([np.asarray(Image.open(out / f"{i:05}.png")) for i in range(3)])
    np.testing.assert_array_equal(found[:, None], to_uint8(expected).numpy())
    more = vct.load(RUN).sample(5, labels=2, seed=7, inputs=images)
    again = vct.load(RUN).sample(5, labels=2, seed=7, inputs=images[[0, 1, 2, 0, 1]])
    torch.testing.assert_close(more, again)
    alone = vct.load(RUN).sample(5, labels=2, seed=7, inputs=images[[1]])
    torch.testing.assert_close(more[[1, 4]], alone[[1, 4]])
    assert not torch.allclose(more[0], alone[0])
    other = vct.load(RUN).sample(5, labels=2, seed=7, inputs=255 - images)
    assert not torch.allclose(more, other)


@pytest.mark.parametrize(
    ("files", "options", "words"),
    [
        ({}, [], "restores images; name a folder of them with --inputs"),
        ({}, ["--inputs", "nowhere"], "'nowhere' is no folder"),
        ({}, ["--inputs", "in"], "in holds no images"),
        ({"a.png": 8, "b.png": 4}, ["--inputs", "in"], "b.png has 4 x 4 pixels, and a.png 8 x 8"),
        (
            {"a.png": 5},
            ["--inputs", "in", "--labels", "1"],
            "shape (1, 5, 5) are not what this model restores",
        ),
        ({"a.png": None}, ["--inputs", "in"], "in/a.png cannot be used"),
    ],
)
def test_what_cannot_be_restored_is_one_sentence(here, capsys, tmp_path, files, options, words):
    folder = tmp_path / "in"
    folder.mkdir()
    for name, size in files.items():
        if size is None:
            folder.joinpath(name).write_bytes(b"torn")
        else:
            Image.fromarray(given(1, size)[0, 0].numpy()).save(folder / name)
    options = [str(folder) if word == "in" else word for word in options]
    assert cli.main(["sample", RUN, "--out", str(tmp_path / "new"), *options]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_an_export_shows_what_the_run_restored(here, tmp_path):
    first, second = tmp_path / "export", tmp_path / "again"
    assert cli.main(["export", RUN, str(first), "--license", "cc0-1.0"]) == 0
    card = first.joinpath("README.md").read_text()
    assert "inputs=y" in card and "pipeline_tag: image-to-image" in card
    export.write(first, second)
    assert second.joinpath("preview.png").read_bytes() == first.joinpath("preview.png").read_bytes()
    images = given(2, 8)
    torch.testing.assert_close(
        vct.load(str(second)).sample(2, inputs=images, labels=1),
        vct.load(RUN).sample(2, inputs=images, labels=1),
    )


def test_diagnostics_start_from_held_out_images_too(here, capsys, monkeypatch):
    seen = []

    def noted(drawing, *others):
        seen.append(drawing.starts)
        return scores(drawing, *others)

    monkeypatch.setattr("vct.lab.diagnosis.scores", noted)
    looked = {"seeds": [3], "common": "restored", "batches": 8, "points": 4, "pairs": 64}
    more = {"experiments.pictures.diagnostics": {**looked, "permutations": 19, "redraws": 2}}
    here.joinpath("params.yaml").write_text(yaml.safe_dump(params(changes(**more))))
    statistics = ["statistics", "images/judge/moments"]
    for stage in (["extractor", "judge"], statistics, ["diagnose", RUN]):
        assert cli.main(stage) == 0, capsys.readouterr().err
    (starts,) = seen
    assert len(starts["standard"].data.train.x) == 500
    found = json.loads((here / "results" / RUN / "diagnostics.json").read_text())
    assert found["numbers"]["sampling_sd"] > 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"experiments.pictures.train.kernel": "ve"}, "only kernel li with t_max 1 leads"),
        ({"experiments.pictures.train.t_max": 2.0}, "only kernel li with t_max 1 leads"),
        (
            {
                "experiments.pictures.sample": {
                    "num_samples": 16,
                    "priors": ["standard", "late"],
                    "late_start": 0.5,
                }
            },
            "late_start: coupling conditional starts from images to restore",
        ),
        (
            {"experiments.pictures.couplings": {"restored": {"kind": "conditional"}}},
            "nothing is degraded; set factor, or hidden",
        ),
        (
            {
                "experiments.small.train.kernel": "li",
                "experiments.small.train.t_max": 1.0,
                "experiments.small.train.objective": {"kind": "ict", "s0": 2, "s1": 4},
                "experiments.small.sample": {"num_samples": 16},
                "experiments.small.variants": ["restored"],
                "experiments.small.couplings.restored": COUPLING,
            },
            "points have no resolution to restore",
        ),
        (
            {
                "experiments.pictures.couplings": {
                    "restored": {
                        "kind": "variational",
                        "kl_weight": 1,
                        "encoder": MLP,
                        "base": COUPLING,
                    }
                }
            },
            "an encoder would move images to restore",
        ),
    ],
)
def test_settings_that_lead_nowhere_are_refused(more, words):
    with pytest.raises(UserError, match=words):
        reading.validate(params(changes(**more)), "params.yaml")


@pytest.mark.parametrize("given", [{"kernel": "ve"}, {"t_max": 2.0}])
def test_a_users_coupling_that_restores_needs_the_same_kernel(given):
    own = {"kind": "vct.couplings.conditional.Conditional", "options": {"factor": 2}}
    train = {"kernel": "li", "t_max": 1.0, **given}
    with pytest.raises(UserError, match="only a bounded kernel with t_max 1 leads"):
        build.model(run_settings(own, **train), made((1, 8, 8)), 0)
    build.model(run_settings(own, kernel="li", t_max=1.0), made((1, 8, 8)), 0)


@pytest.mark.parametrize("inputs", [np.zeros((2, 1, 8, 8)), torch.zeros(2, 1, 8, 8)])
def test_arrays_of_floats_are_restored(here, inputs):
    assert vct.load(RUN).sample(2, labels=1, inputs=inputs).shape == (2, 1, 8, 8)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"labels": 1}, "restores images; give it some"),
        ({"inputs": given(2, 8)}, "trained with labels; give those of inputs"),
        ({"inputs": given(2, 8).long(), "labels": 1}, "int64 is neither float"),
    ],
)
def test_inputs_that_say_too_little_are_refused(here, options, words):
    with pytest.raises(UserError, match=words):
        vct.load(RUN).sample(2, **options)


def test_a_class_without_held_out_images_is_one_sentence(here):
    model, whole = vct.load(RUN), dataset.load("images")
    some = whole.test.labels != 3
    test = replace(whole.test, x=whole.test.x[some], labels=whole.test.labels[some])
    train, sample = model.settings.train, model.description.sample
    run = RunId.parse(RUN)
    for held_out, words in ((test, "none of class 3"), (replace(test, x=test.x[:0]), "holds none")):
        with pytest.raises(UserError, match=words):
            priors.starts(
                run, train, sample, model.coupling, replace(whole, test=held_out), {}, CPU
            )


def test_mlflow_gets_no_model_that_it_could_not_ask(here):
    assert models._restores(RunFiles(Path(), RunId.parse(RUN)))


@pytest.mark.parametrize(("background", "value"), [("white", 255), ("black", 0), (None, None)])
def test_transparent_pixels_of_inputs_are_put_on_the_colour_of_the_data(
    tmp_path, background, value
):
    Image.new("RGBA", (8, 8), (9, 9, 9, 0)).save(tmp_path / "a.png")
    if background is None:
        with pytest.raises(UserError, match=r"it has transparent pixels; remove"):
            inputs_of.read(tmp_path, 3, None)
    else:
        assert bool((inputs_of.read(tmp_path, 3, background) == value).all())
