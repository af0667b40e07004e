"""The common format: a round trip, and what a damaged folder gets."""

import json
import shutil

import numpy as np
import pytest

from vct.config import DigitsData, MixtureData
from vct.data import dataset, sources
from vct.errors import UserError
from vct.layout import DATA_FILES


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two data sets on disk; damage a copy."""
    root = tmp_path_factory.mktemp("root")
    points = sources.mixture(MixtureData(source="mixture", train=64, test=32))
    images = sources.digits(DigitsData(source="digits", test=500))
    dataset.write("points", points, {"source": "mixture"}, root)
    dataset.write("images", images, {"source": "digits"}, root)
    return root, {"points": points, "images": images}


@pytest.fixture
def folder(made, tmp_path):
    """A copy of the points."""
    shutil.copytree(made[0] / "data", tmp_path / "data")
    return tmp_path / "data" / "points"


def refused(folder, match):
    with pytest.raises(UserError, match=match) as caught:
        dataset.load("points", folder.parent.parent)
    assert "vct data points" in str(caught.value) or "delete it" in str(caught.value)


@pytest.mark.parametrize("name", ["points", "images"])
def test_round_trip(made, name):
    root, written = made
    loaded, source = dataset.load(name, root), written[name]
    for split in ("train", "test"):
        read, wrote = getattr(loaded, split), getattr(source, split)
        assert np.array_equal(read.x, wrote.x)
        assert read.x.dtype == wrote.x.dtype
        assert np.array_equal(read.labels, wrote.labels)
    assert loaded.shape == source.train.x.shape[1:]
    assert loaded.is_points == (name == "points")
    assert loaded.meta["classes"] == source.classes
    assert loaded.meta["train"] == len(source.train.x)
    assert loaded.meta["source"] == {"source": "mixture" if name == "points" else "digits"}
    assert sorted(file.name for file in (root / "data" / name).iterdir()) == sorted(DATA_FILES)


def test_same_settings_same_bytes(made, folder):
    before = {file: (folder / file).read_bytes() for file in DATA_FILES}
    dataset.write("points", made[1]["points"], {"source": "mixture"}, folder.parent.parent)
    assert {file: (folder / file).read_bytes() for file in DATA_FILES} == before


def test_hash_depends_on_values_shape_type_and_order():
    base = np.arange(6, dtype=np.int64)
    others = [base.reshape(2, 3), base.astype(np.int32), base[::-1], base + 1]
    hashes = [dataset.content_hash([array]) for array in (base, *others)]
    hashes += [dataset.content_hash([base, base + 1]), dataset.content_hash([base + 1, base])]
    assert len(set(hashes)) == len(hashes)
    assert dataset.content_hash([base.copy()]) == hashes[0]


@pytest.mark.parametrize("file", DATA_FILES)
def test_missing_file(folder, file):
    (folder / file).unlink()
    refused(folder, rf"{file} is missing")


def test_missing_folder(folder):
    shutil.rmtree(folder)
    refused(folder, "is missing")


@pytest.mark.parametrize("file", DATA_FILES)
@pytest.mark.parametrize("keep", [0, 5, 60, 0.5, 0.99])
def test_truncated_file(folder, file, keep):
    content = (folder / file).read_bytes()
    length = keep if isinstance(keep, int) else int(keep * len(content))
    (folder / file).write_bytes(content[:length])
    refused(folder, "points")


@pytest.mark.parametrize("file", DATA_FILES[:-1])
def test_flipped_bit_anywhere(folder, file):
    content = (folder / file).read_bytes()
    step = max(1, len(content) // 40)
    for place in [*range(0, 128, 3), *range(128, len(content), step)]:
        damaged = bytearray(content)
        damaged[place] ^= 4
        (folder / file).write_bytes(damaged)
        try:
            loaded = dataset.load("points", folder.parent.parent)
        except UserError:
            continue
        # A bit of the padding of numpy's header, say, says nothing.
        assert (
            dataset.content_hash(
                [loaded.train.x, loaded.train.labels, loaded.test.x, loaded.test.labels]
            )
            == json.loads((folder / "meta.json").read_text())["sha256"]
        )


@pytest.mark.parametrize("pair", [("train_x", "test_x"), ("train_labels", "test_labels")])
def test_swapped_files(folder, pair):
    one, two = (folder / f"{name}.npy" for name in pair)
    first = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(first)
    refused(folder, "does not hold what")


@pytest.mark.parametrize("file", DATA_FILES)
def test_file_of_another_data_set(folder, file):
    shutil.copy(folder.parent / "images" / file, folder / file)
    refused(folder, "points")


@pytest.mark.parametrize("content", ["[]", "3", "null", "{}", '{"format": 2}', "not json"])
def test_strange_description(folder, content):
    (folder / "meta.json").write_text(content)
    refused(folder, r"meta\.json")


@pytest.mark.parametrize("key", ["sha256", "shape", "dtype", "classes", "train", "test"])
@pytest.mark.parametrize("value", [None, "absent", [1], 7.5])
def test_description_that_does_not_fit(folder, key, value):
    meta = json.loads((folder / "meta.json").read_text())
    meta[key] = value
    if value == "absent":
        del meta[key]
    (folder / "meta.json").write_text(json.dumps(meta))
    refused(folder, r"meta\.json")


def test_pickled_objects_are_never_loaded(folder):
    np.save(folder / "train_x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    refused(folder, "is damaged")
