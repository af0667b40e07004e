"""What `vct data NAME --preview` says of a data set is what is in it."""

import numpy as np
import pytest
import raw_images
import yaml
from PIL import Image
from support import params

from vct.lab import cli


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Five red 6 x 4 images of one class, three grey-level ones of another, a note, a torn file."""
    monkeypatch.chdir(tmp_path)
    red = np.zeros((6, 4, 3), np.uint8)
    red[..., 0] = 255
    files = {f"ape/{i}.png": raw_images.encoded(red) for i in range(5)}
    files |= {f"bee/{i}.png": raw_images.encoded(raw_images.pixels(i, 6, 4)) for i in range(3)}
    files |= {"ape/torn.png": files["ape/0.png"][:40], "bee/notes.txt": b"mine"}
    raw_images.write(tmp_path / "data/raw/zoo", files)
    zoo = {"source": "image_folder", "labels": "folders", "test": 2, "broken": "skip"}
    content = params({"datasets.zoo": zoo, "runtime.tracking": False})
    small = {"dataset": "zoo", "batch_size": 4, "steps": 3, "snapshots": 1}
    content["experiments"]["pictures"]["train"] |= small
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    return tmp_path


def test_preview_counts_and_names(folder, capsys):
    assert cli.main(["data", "zoo", "--preview"]) == 0
    out = capsys.readouterr().out
    labels = np.concatenate([np.load(f"data/zoo/{part}_labels.npy") for part in ("train", "test")])
    assert np.bincount(labels).tolist() == [5, 3]
    held = len(np.load("data/zoo/test_x.npy"))
    assert f"{8 - held} for training, {held} held out; RGB images, 4 x 6 pixels" in out
    counts = {}
    for line in out.splitlines():
        if line.startswith(("  ape  ", "  bee  ")):
            name, one, _, two = line.split()
            counts[name] = int(one) + int(two)
    assert counts == {"ape": 5, "bee": 3}
    assert "skipped, because they could not be taken: 1 images" in out and "ape/torn.png (" in out
    assert "left out, because they are no images: 1 files" in out and "bee/notes.txt" in out
    x = np.load("data/zoo/train_x.npy") / 127.5 - 1
    assert f"standard deviation of the training data: {x.std():.3f}" in out
    picture = np.asarray(Image.open("scratch/previews/zoo.png").convert("RGB")).reshape(-1, 3)
    assert (picture == [255, 0, 0]).all(axis=1).any()


def test_preview_makes_data_again_only_if_they_are_others(folder):
    assert cli.main(["data", "zoo", "--preview"]) == 0
    before = (folder / "data/zoo/train_x.npy").stat().st_mtime_ns
    assert cli.main(["data", "zoo", "--preview"]) == 0
    assert (folder / "data/zoo/train_x.npy").stat().st_mtime_ns == before
    held = len(np.load("data/zoo/test_x.npy"))
    text = (folder / "params.yaml").read_text().replace("test: 2\n", "test: 4\n")
    (folder / "params.yaml").write_text(text)
    assert cli.main(["data", "zoo", "--preview"]) == 0
    assert len(np.load("data/zoo/test_x.npy")) > held


@pytest.mark.parametrize("name", ["points", "images"])
def test_preview_of_every_form(folder, name, capsys):
    assert cli.main(["data", name, "--preview"]) == 0
    assert (folder / f"scratch/previews/{name}.png").stat().st_size > 1000
    assert "for training" in capsys.readouterr().out


def test_images_that_are_not_square_are_trained_on_and_sampled(folder):
    run = "pictures/ot/seed3"
    for stage in (["data", "zoo"], ["train", run], ["sample", run]):
        assert cli.main(stage) == 0
    assert np.load(f"results/{run}/samples.npz")["steps1"].shape == (16, 3, 6, 4)


def test_images_that_the_levels_cannot_halve_are_refused_before_training(folder, capsys):
    text = (
        (folder / "params.yaml")
        .read_text()
        .replace("- 1\n        - 2\n", "- 1\n        - 2\n        - 2\n")
    )
    (folder / "params.yaml").write_text(text)
    assert cli.main(["data", "zoo"]) == 0
    capsys.readouterr()
    assert cli.main(["train", "pictures/ot/seed3"]) == 2
    assert "does not divide 6 x 4 pixels" in capsys.readouterr().err
    assert not (folder / "results").exists() or not list(folder.glob("results/**/*.safetensors"))
