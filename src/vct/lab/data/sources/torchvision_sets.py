"""MNIST, Fashion-MNIST and CIFAR-10: torchvision's addresses, checksums and readers.

The published archives lie in data/raw/<name>, downloaded or put there by hand. They are compared
with torchvision's checksums before anything in them is read; CIFAR-10's are pickles, which could
run code. Each time they are unpacked anew, into a folder that goes away, so that no file changed
since is read.
"""

import gzip
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vct.lab.data.dataset import Source, Split
from vct.lab.data.sources.download import NotFetched, fetch
from vct.lab.data.sources.spaced import evenly_spaced
from vct.lab.errors import UserError
from vct.lab.files.layout import RAW
from vct.lab.settings.data import TorchvisionSettings

CLASSES = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "cifar10": "CIFAR10"}
"""Names in params.yaml, and torchvision's."""


@dataclass(frozen=True)
class Archive:
    """A published file: its name, md5 and addresses."""

    name: str
    md5: str
    urls: tuple[str, ...]


def read(settings: TorchvisionSettings) -> Source:
    """The data set with its own training and test split.

    Raises:
        UserError: if a file is missing and cannot be downloaded, or is not the published one.
    """
    from torchvision import datasets

    kind = getattr(datasets, CLASSES[settings.name])
    folder = RAW / settings.name
    archives = _archives(kind)
    _fetch_all(settings.name, folder, archives)
    try:
        with tempfile.TemporaryDirectory(prefix=".tmp-", dir=folder) as root:
            for archive in archives:
                _unpack(kind, folder / archive.name, Path(root))
            train, test = (kind(root, train=train, download=False) for train in (True, False))
    except OSError as error:
        raise UserError(
            f"cannot unpack {folder}: {error.strerror or error}; make room or the folder writable."
        ) from None
    first, second = (_split(part, settings.limit) for part in (train, test))
    return Source(first, second, len(train.classes), {"class_names": train.classes})


def files(settings: TorchvisionSettings) -> list[Path]:
    """Where the archives are, or will be once they are downloaded."""
    from torchvision import datasets

    archives = _archives(getattr(datasets, CLASSES[settings.name]))
    return [RAW / settings.name / archive.name for archive in archives]


def _archives(kind: Any) -> list[Archive]:
    if hasattr(kind, "mirrors"):
        return [
            Archive(name, md5, tuple(f"{mirror}{name}" for mirror in kind.mirrors))
            for name, md5 in kind.resources
        ]
    return [Archive(kind.filename, kind.tgz_md5, (kind.url,))]


def _fetch_all(name: str, folder: Path, archives: list[Archive]) -> None:
    for archive in archives:
        try:
            fetch(archive.urls, folder / archive.name, archive.md5)
        except NotFetched as error:
            missing = [each.name for each in archives if not (folder / each.name).exists()]
            raise UserError(
                f"{name} cannot be downloaded ({error}); run this again with a network, or put "
                f"{', '.join(missing)} into {folder} by hand."
            ) from None


def _unpack(kind: Any, archive: Path, root: Path) -> None:
    """Lay out what torchvision reads; every name that is written is torchvision's, not the
    archive's."""
    if not archive.name.endswith(".tar.gz"):
        with gzip.open(archive) as stream:
            _copy(stream, root / kind.__name__ / "raw" / archive.stem)
        return
    with tarfile.open(archive) as tar:
        for name in _members(kind):
            _copy(tar.extractfile(name), root / name)


def _members(kind: Any) -> Iterator[str]:
    for name, _ in (*kind.train_list, *kind.test_list, (kind.meta["filename"], None)):
        yield f"{kind.base_folder}/{name}"


def _copy(source: Any, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as stream:
        shutil.copyfileobj(source, stream)


def _split(read: Any, limit: int | None) -> Split:
    """torchvision's (N, H, W) or (N, H, W, C) to (N, C, H, W), or `limit` of them."""
    x, labels = np.asarray(read.data), np.asarray(read.targets, dtype=np.int64)
    chosen = evenly_spaced(len(x), limit)
    x, labels = x[chosen], labels[chosen]
    x = x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2)
    return Split(np.ascontiguousarray(x), labels)
