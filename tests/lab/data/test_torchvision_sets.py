"""torchvision's readers on small files of the published formats, and no network elsewhere."""

import gzip
import hashlib
import io
import pickle
import shutil
import socket
import struct
import tarfile
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from file_server import serving
from support import MLP, params
from torchvision import datasets

from vct.lab import cli
from vct.lab.data import dataset
from vct.lab.data.sources import torchvision_sets
from vct.lab.data.sources.torchvision_sets import CLASSES, torchvision_set
from vct.lab.errors import UserError
from vct.lab.files.layout import RAW
from vct.lab.settings import reading
from vct.lab.workflow import dvc, graph

DRAW = np.random.default_rng(0)
SPLITS = {"train": 60, "t10k": 20}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def offline(monkeypatch):
    """Every attempt to reach another machine is refused and counted."""
    attempts = []

    def refuse(*given, **_):
        attempts.append(given)
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return attempts


def idx(array):
    """LeCun's format: two zeros, type 8 (unsigned byte), number of axes, their lengths, values."""
    head = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(head + array.tobytes())


def md5(content):
    return hashlib.md5(content).hexdigest()


def put(name, files):
    folder = RAW / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        (folder / file).write_bytes(content)


def grey_files():
    images = {k: DRAW.integers(0, 256, (n, 28, 28), dtype=np.uint8) for k, n in SPLITS.items()}
    labels = {k: np.arange(n, dtype=np.uint8) % 10 for k, n in SPLITS.items()}
    files = {f"{k}-images-idx3-ubyte.gz": idx(images[k]) for k in SPLITS}
    files |= {f"{k}-labels-idx1-ubyte.gz": idx(labels[k]) for k in SPLITS}
    return files, images, labels


@pytest.fixture(params=["mnist", "fashion-mnist"])
def grey(request, monkeypatch):
    """A small data set in the format of MNIST, by its name; checksums are those of its files."""
    files, images, labels = grey_files()
    kind = getattr(datasets, CLASSES[request.param])
    resources = [(name, md5(files[name])) for name, _ in kind.resources]
    monkeypatch.setattr(kind, "resources", resources)
    put(request.param, files)
    return request.param, images, labels


def tar(members):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


@pytest.fixture
def cifar(monkeypatch):
    """A small CIFAR-10: pickles of rows of 3072 bytes, red, green, blue."""
    kind, members, rows, labels = datasets.CIFAR10, {}, {}, {}
    lists = {"train_list": [], "test_list": []}
    for key in lists:
        for name, _ in getattr(kind, key):
            rows[name] = DRAW.integers(0, 256, (4, 3072), dtype=np.uint8)
            labels[name] = DRAW.integers(0, 10, 4).tolist()
            batch = pickle.dumps({"data": rows[name], "labels": labels[name]}, protocol=2)
            members[f"{kind.base_folder}/{name}"] = batch
            lists[key].append([name, md5(batch)])
    meta = pickle.dumps({"label_names": [f"class {i}" for i in range(10)]}, protocol=2)
    members[f"{kind.base_folder}/batches.meta"] = meta
    content = tar(members)
    for key, value in lists.items():
        monkeypatch.setattr(kind, key, value)
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": md5(meta)})
    monkeypatch.setattr(kind, "tgz_md5", md5(content))
    put("cifar10", {kind.filename: content})
    return rows, labels


def test_grey_sets(grey, offline):
    name, images, labels = grey
    source = torchvision_set(name)
    for split, key in ((source.train, "train"), (source.test, "t10k")):
        assert np.array_equal(split.x, images[key][:, None])
        assert split.x.dtype == np.uint8
        assert split.labels.dtype == np.int64
        assert split.labels.tolist() == labels[key].tolist()
    assert source.classes == 10
    assert len(source.extra["class_names"]) == 10
    assert not offline


def test_cifar(cifar, offline):
    rows, labels = cifar
    source = torchvision_set("cifar10")
    train = [f"data_batch_{i}" for i in range(1, 6)]
    for split, names in ((source.train, train), (source.test, ["test_batch"])):
        expected = np.concatenate([rows[name] for name in names]).reshape(-1, 3, 32, 32)
        assert np.array_equal(split.x, expected)
        assert split.labels.tolist() == [label for name in names for label in labels[name]]
    assert source.extra["class_names"][3] == "class 3"
    # Nothing is left of the unpacking.
    assert [path.name for path in (RAW / "cifar10").iterdir() if path.is_dir()] == []
    assert not offline


def test_a_limit_takes_so_many_of_each_split(cifar, offline):
    whole = torchvision_set("cifar10")
    source = torchvision_set("cifar10", limit=4)
    assert np.array_equal(source.train.x, whole.train.x[::5])
    assert source.train.labels.tolist() == whole.train.labels[::5].tolist()
    assert np.array_equal(source.test.x, whole.test.x)
    assert source.classes == 10


def test_a_limit_keeps_rare_classes():
    read = SimpleNamespace(data=np.zeros((9, 2, 2), np.uint8), targets=[0, 1, 0, 0, 0, 0, 0, 0, 2])
    assert sorted(torchvision_sets._split(read, 3).labels) == [0, 1, 2]


def test_files_are_those_that_are_read(grey):
    name, *_ = grey
    assert set(torchvision_sets.files(name)) == set((RAW / name).iterdir())


class Gotcha:
    def __reduce__(self):
        return open, ("gotcha", "w")


def test_an_archive_that_is_not_the_published_one_is_never_unpickled(cifar, here):
    kind = datasets.CIFAR10
    names = [name for name, _ in (*kind.train_list, *kind.test_list)]
    hostile = pickle.dumps(Gotcha())
    put("cifar10", {kind.filename: tar({f"{kind.base_folder}/{n}": hostile for n in names})})
    with pytest.raises(UserError, match="is not the published file"):
        torchvision_set("cifar10")
    assert not (here / "gotcha").exists()


def test_damaged_file(grey):
    name, _, _ = grey
    file = RAW / name / "t10k-labels-idx1-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"t10k-labels-idx1-ubyte\.gz is not the published file"):
        torchvision_set(name)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("cifar10", ["cifar-10-python.tar.gz"]),
        (
            "mnist",
            [f"{a}-{b}-ubyte.gz" for a in SPLITS for b in ("images-idx3", "labels-idx1")],
        ),
    ],
)
def test_without_network_the_sentence_names_folder_and_files(name, files, offline):
    with pytest.raises(UserError) as caught:
        torchvision_set(name)
    message = str(caught.value)
    assert "no network" in message
    assert f"put {', '.join(files)} into data/raw/{name} by hand" in message
    assert "\n" not in message
    assert offline


@pytest.fixture
def served(grey, monkeypatch):
    """The archives of a small data set are not here, but at an address of this machine."""
    name, *_ = grey
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    archives = {path.name: path.read_bytes() for path in (RAW / name).iterdir()}
    shutil.rmtree(RAW / name)
    with serving(dict(archives)) as server:
        monkeypatch.setattr(getattr(datasets, CLASSES[name]), "mirrors", [server.url])
        yield name, archives, server


def there(name):
    return {path.name: path.read_bytes() for path in torchvision_sets.files(name) if path.exists()}


def test_archives_are_downloaded_once_and_kept(served):
    name, archives, server = served
    first = torchvision_set(name)
    assert there(name) == archives
    server.asked.clear()
    assert np.array_equal(torchvision_set(name).train.x, first.train.x)
    assert not server.asked


def test_a_broken_download_leaves_what_is_whole_and_is_mended_by_the_next(served):
    name, archives, server = served
    server.cut = 2000  # of more than labels have, and less than images
    with pytest.raises(UserError, match="run this again with a network, or put"):
        torchvision_set(name)
    assert there(name) == {}
    del server.files["t10k-labels-idx1-ubyte.gz"]
    server.cut = None
    with pytest.raises(UserError, match=r"put t10k-labels-idx1-ubyte\.gz into"):
        torchvision_set(name)
    assert there(name) == server.files
    assert not list((RAW / name).glob(".tmp-*"))
    server.files.update(archives)
    torchvision_set(name)
    assert there(name) == archives


def test_a_wrong_file_is_left_alone(served):
    name, _, server = served
    file = torchvision_sets.files(name)[0]
    file.parent.mkdir(parents=True)
    file.write_bytes(b"mine")
    with pytest.raises(UserError, match="is not the published file"):
        torchvision_set(name)
    assert there(name) == {file.name: b"mine"}
    assert not server.asked


def test_only_what_is_missing_is_asked_for(grey, offline):
    name, _, _ = grey
    (RAW / name / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(UserError, match=r"put train-labels-idx1-ubyte\.gz into"):
        torchvision_set(name)


def project():
    changes = {
        "datasets.public": {"source": "torchvision", "name": "mnist"},
        "experiments.pictures.train.dataset": "public",
        "experiments.pictures.train.network": MLP,
        "experiments.pictures.train.conditional": True,
        "experiments.pictures.train.steps": 2,
        "experiments.pictures.train.snapshots": 1,
        "extractors.judge.dataset": "public",
        "runtime.tracking": False,
    }
    with open("params.yaml", "w") as file:
        yaml.safe_dump(params(changes), file)


def test_the_network_is_touched_by_the_data_stage_alone(monkeypatch, offline):
    """All else works from data on disk, or says that they are missing."""
    files, _, _ = grey_files()
    resources = [(name, md5(files[name])) for name, _ in datasets.MNIST.resources]
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    project()
    loaded = reading.load()
    assert graph.raw_inputs(loaded, "public") == []
    assert "vct data public" in dvc.text(loaded, "cpu")
    for command in (["check"], ["train", "pictures/ot/seed3"], ["floor", "pictures"]):
        assert cli.main(command) == (0 if command == ["check"] else 2)
    assert not offline
    assert cli.main(["data", "public"]) == 2
    assert offline
    offline.clear()
    put("mnist", files)
    for command in (["data", "public"], ["check-data", "public"], ["train", "pictures/ot/seed3"]):
        assert cli.main(command) == 0
    assert dataset.load("public").meta.train == 60
    assert not offline


def test_a_failed_download_writes_no_data_set(here, offline):
    project()
    assert cli.main(["data", "public"]) == 2
    assert not (here / "data/public").exists()
