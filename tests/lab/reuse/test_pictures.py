"""`vct sample RUN --out`: files to look at, beside the run and not in it."""

import numpy as np
import pytest
from PIL import Image
from reused import IMAGES, POINTS

import vct
from vct.lab import cli
from vct.lab.files.whole import hashes
from vct.lab.sampling.drawing import to_uint8


def test_pictures_are_the_samples(here, tmp_path):
    before = hashes(here / "results" / IMAGES, ["samples.npz", "preview.png", "config.json"])
    out = tmp_path / "pictures"
    options = ["--num", "12", "--steps", "2", "--labels", "7", "--seed", "3", "--prior", "fitted"]
    assert cli.main(["sample", IMAGES, "--out", str(out), "--grid", *options]) == 0
    expected = vct.load(IMAGES).sample(12, steps=2, labels=7, seed=3, prior="fitted")
    assert sorted(p.name for p in out.iterdir()) == [f"{i:05}.png" for i in range(12)] + [
        "grid.png"
    ]
    found = np.stack([np.asarray(Image.open(out / f"{i:05}.png")) for i in range(12)])
    np.testing.assert_array_equal(found[:, None], to_uint8(expected).numpy())
    assert before == hashes(here / "results" / IMAGES, before)


def test_points_are_a_table(here, tmp_path):
    assert cli.main(["sample", POINTS, "--out", str(tmp_path / "p"), "--num", "5"]) == 0
    found = np.loadtxt(tmp_path / "p/points.csv", delimiter=",", dtype=np.float32)
    np.testing.assert_allclose(found, vct.load(POINTS).sample(5).flatten(1).numpy())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--num", "3"], "add --out"),
        (["--grid"], "add --out"),
        (["--out", "results"], "holds something else"),
        (["--out", "new", "--num", "0"], "ask for 1 or more"),
        (["--out", "new", "--labels", "11"], "no class"),
        (["--out", "new", "--device", "cuda:99"], "device 'cuda:99' cannot be used"),
        (["--out", "new", "--device", "attic"], "device 'attic' cannot be used"),
    ],
)
def test_what_makes_no_pictures_is_one_sentence(here, capsys, options, words):
    assert cli.main(["sample", IMAGES, *options]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not (here / "new").exists()
