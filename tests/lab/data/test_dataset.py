"""The common format: a round trip, and what a damaged folder gets."""

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import dataset as memory

from vct.lab.data import dataset
from vct.lab.data.sources.base import Split
from vct.lab.data.sources.digits import digits
from vct.lab.data.sources.mixture import mixture
from vct.lab.errors import UserError
from vct.lab.files.layout import DATA_FILES


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two data sets on disk; damage a copy."""
    root = tmp_path_factory.mktemp("root")
    points = mixture(0.05, train=64, test=32, seed=0)
    images = digits(test=500, seed=0)
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
    assert loaded.meta.classes == source.classes
    assert loaded.meta.train == len(source.train.x)
    assert loaded.meta.source == {"source": "mixture" if name == "points" else "digits"}
    assert sorted(file.name for file in (root / "data" / name).iterdir()) == sorted(DATA_FILES)


def test_same_settings_same_bytes(made, folder):
    before = {file: (folder / file).read_bytes() for file in DATA_FILES}
    dataset.write("points", made[1]["points"], {"source": "mixture"}, folder.parent.parent)
    assert {file: (folder / file).read_bytes() for file in DATA_FILES} == before


def oracle(arrays):
    """The hash of arrays in memory, as data sets have recorded it since the first release."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def arrays_of(data):
    return [data.train.x, data.train.labels, data.test.x, data.test.labels]


@pytest.mark.parametrize("name", ["points", "images"])
def test_recorded_hash_is_that_of_the_content(made, name):
    assert dataset.load(name, made[0]).sha256 == oracle(arrays_of(made[1][name]))


def test_the_digits_are_those_of_the_first_release(made):
    """Results refer to data by this hash; a change of code must not change the data."""
    assert dataset.load("images", made[0]).sha256.startswith("d13120b0")


def test_hash_depends_on_values_shape_type_and_order(tmp_path):
    def hashed(*arrays):
        files = [tmp_path / f"{index}.npy" for index in range(len(arrays))]
        for file, array in zip(files, arrays, strict=True):
            np.save(file, array)
        return dataset.content_hash(files, [np.load(file, mmap_mode="r") for file in files])

    base = np.arange(6, dtype=np.int64)
    others = [base.reshape(2, 3), base.astype(np.int32), base[::-1], base + 1]
    hashes = [hashed(array) for array in (base, *others)]
    hashes += [hashed(base, base + 1), hashed(base + 1, base)]
    assert len(set(hashes)) == len(hashes)
    assert hashed(base.copy()) == hashes[0]


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
        recorded = json.loads((folder / "meta.json").read_text())["sha256"]
        assert oracle(arrays_of(loaded)) == recorded


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


@pytest.mark.parametrize(
    ("key", "value"),
    [("train", 7), ("test", 33), ("shape", [1, 2, 1]), ("dtype", "uint8"), ("classes", 1)],
)
def test_description_of_other_arrays(folder, key, value):
    """The hash is that of the arrays, so it does not notice."""
    meta = json.loads((folder / "meta.json").read_text())
    assert meta[key] != value
    (folder / "meta.json").write_text(json.dumps({**meta, key: value}))
    refused(folder, "does not describe the arrays")


def test_pickled_objects_are_never_loaded(folder):
    np.save(folder / "train_x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    refused(folder, "is damaged")


def test_transposed_content_is_refused(folder):
    """The same bytes in another order are other values."""
    content = (folder / "train_x.npy").read_bytes()
    (folder / "train_x.npy").write_bytes(content.replace(b"False, ", b"True,  ", 1))
    refused(folder, "another order")


# --- writing piece by piece ----------------------------------------------------------------------


class InPieces:
    """A source that comes in pieces of `step` rows, splits in turn; or fails on the way."""

    def __init__(self, source, step, error=None):
        self.source, self.step, self.error = source, step, error
        self.classes, self.extra = source.classes, source.extra

    def pieces(self):
        for start in range(0, len(self.source.train.x), self.step):
            for name in ("train", "test"):
                split = getattr(self.source, name)
                rows = slice(start, start + self.step)
                if len(split.x[rows]):
                    yield name, Split(split.x[rows], split.labels[rows])
        if self.error:
            raise self.error


@pytest.mark.parametrize("step", [1, 7, 64])
def test_pieces_give_the_same_bytes_as_the_whole(made, folder, tmp_path, step):
    pieces = InPieces(made[1]["points"], step)
    meta = dataset.write("points", pieces, {"source": "mixture"}, tmp_path / "other")
    for file in DATA_FILES:
        written = tmp_path / "other" / "data" / "points" / file
        assert written.read_bytes() == (folder / file).read_bytes()
    assert meta.content() == json.loads((folder / "meta.json").read_text())


def everything(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("error", [UserError("no"), KeyboardInterrupt(), RuntimeError("bug")])
def test_a_source_that_fails_leaves_what_was_there(made, folder, tmp_path, error):
    before = everything(tmp_path)
    failing = InPieces(made[1]["points"], 8, error)
    for name in ("points", "new"):
        with pytest.raises(type(error)):
            dataset.write(name, failing, {}, tmp_path)
    assert everything(tmp_path) == before
    assert not (tmp_path / "data" / "new").exists()


def test_what_a_killed_process_left_is_removed(made, folder, tmp_path):
    (folder / ".tmp-abc.npy").write_bytes(b"half")
    dataset.write("points", made[1]["points"], {"source": "mixture"}, tmp_path)
    assert sorted(file.name for file in folder.iterdir()) == sorted(DATA_FILES)


def test_a_folder_torn_between_two_files_is_not_whole(made, folder, tmp_path, monkeypatch):
    """Whatever moves into place first, the old description must not vouch for it."""
    replaced = []

    def kill_after_the_first(self, target):
        if replaced:
            raise SystemExit
        replaced.append(target)
        return os.rename(self, target)

    other = mixture(0.05, train=64, test=32, seed=1)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", kill_after_the_first)
        with pytest.raises(SystemExit):
            dataset.write("points", other, {}, tmp_path)
    refused(folder, r"meta\.json is missing")


# --- large data ----------------------------------------------------------------------------------


@pytest.fixture
def large(monkeypatch, folder):
    """The points count as large; the number of hashings is counted."""
    monkeypatch.setattr(dataset, "SMALL", 0)
    hashings = []
    original = dataset.content_hash
    monkeypatch.setattr(
        dataset, "content_hash", lambda *given: hashings.append(1) or original(*given)
    )
    return hashings


def test_large_data_are_hashed_once(made, folder, large):
    root = folder.parent.parent
    loaded = [dataset.load("points", root) for _ in range(3)]
    assert len(large) == 1
    assert np.array_equal(loaded[2].train.x, made[1]["points"].train.x)
    dataset.load("points", root, thorough=True)
    assert len(large) == 2


def test_large_data_that_were_just_written_are_not_hashed_to_open_them(made, folder, large):
    root = folder.parent.parent
    dataset.write("points", made[1]["points"], {}, root)
    dataset.load("points", root)
    assert len(large) == 1


def test_small_data_are_hashed_whenever_they_are_opened(folder, monkeypatch):
    root = folder.parent.parent
    dataset.load("points", root)
    assert not (root / "state").exists()
    monkeypatch.setattr(dataset, "content_hash", lambda *_: "0" * 64)
    refused(folder, "does not hold what")


def damage(file):
    """Flip a bit of the last value, and put size and times back as far as a program can."""
    stat = file.stat()
    with file.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        last = stream.read(1)[0]
        stream.seek(-1, os.SEEK_END)
        stream.write(bytes([last ^ 1]))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("file", DATA_FILES[:-1])
def test_a_change_of_large_data_is_noticed(folder, large, file):
    root = folder.parent.parent
    dataset.load("points", root)
    damage(folder / file)
    refused(folder, "does not hold what")
    damage(folder / file)
    dataset.load("points", root)


def test_large_data_of_another_hash_or_without_a_record_are_hashed(folder, large):
    root = folder.parent.parent
    dataset.load("points", root)
    record = root / "state/data/points/verified.json"
    for content in ("", "[]", record.read_text().replace('"sha256": "', '"sha256": "f')):
        record.write_text(content)
        before = len(large)
        dataset.load("points", root)
        assert len(large) == before + 1


def test_a_state_folder_that_cannot_be_written_costs_time_alone(folder, large):
    root = folder.parent.parent
    (root / "state").write_text("in the way")
    dataset.load("points", root)
    dataset.load("points", root)
    assert len(large) == 2


@pytest.mark.parametrize("source", ["image_folder", "own.source", "mixture"])
def test_what_stands_for_all_is_of_all(source):
    """But of sources in no order, of which committed numbers are the first ones'."""
    data = memory(size=5000)
    meta = data.meta.model_copy(update={"source": {"source": source}})
    places = replace(data, meta=meta).chosen(1000)
    assert len(set(places.tolist())) == 1000 and (np.diff(places) > 0).all()
    mean = places.mean()
    assert mean == 499.5 if source == "mixture" else mean == pytest.approx(2499.5, abs=150)
    assert np.array_equal(data.chosen(9000), np.arange(5000))
