"""MNIST, Fashion-MNIST and CIFAR-10, fetched and read by torchvision.

The published archives lie in data/raw/<name>, downloaded or put there by hand. They are compared
with torchvision's checksums before anything in them is read; CIFAR-10's are pickles, which could
run code. Each time they are unpacked anew, into a folder that goes away, so that no file changed
since is read.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from vct.lab.data.download import FAILURES, downloading
from vct.lab.data.sources.base import Source, Split
from vct.lab.data.sources.splits import limited
from vct.lab.errors import UserError
from vct.lab.files.layout import RAW

CLASSES = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "cifar10": "CIFAR10"}
"""Names in params.yaml, and torchvision's."""


def torchvision_set(name: str, limit: int | None = None) -> Source:
    """A public data set with its own training and test split.

    Args:
        name: one of `CLASSES`.
        limit: take so many images of each split alone, of all classes.

    Raises:
        UserError: if a file is missing and cannot be downloaded, or is not the published one.
    """
    kind, folder = _kind(name), RAW / name
    with downloading(folder):
        _check_given(kind, folder)
        try:
            train, test = _read(kind, folder)
        except FAILURES as error:
            raise _failure(name, error) from None
    first, second = (_split(part, limit) for part in (train, test))
    return Source(first, second, len(train.classes), {"class_names": train.classes})


def files(name: str) -> list[Path]:
    """Where the archives are, or will be once they are downloaded."""
    return [RAW / name / archive for archive in _checksums(_kind(name))]


def _kind(name: str) -> Any:
    from torchvision import datasets

    return getattr(datasets, CLASSES[name])


def _checksums(kind: Any) -> dict[str, str]:
    """The md5 of each archive, by its name."""
    return dict(kind.resources) if hasattr(kind, "resources") else {kind.filename: kind.tgz_md5}


def _check_given(kind: Any, folder: Path) -> None:
    """Refuse other files under the names of the archives; torchvision would replace them."""
    for archive, md5 in _checksums(kind).items():
        if (folder / archive).exists() and not _fits(folder / archive, md5):
            raise UserError(
                f"{folder / archive} is not the published file (its md5 is not {md5}); remove it "
                "and get it again."
            )


def _fits(archive: Path, md5: str) -> bool:
    from torchvision.datasets.utils import check_integrity

    return check_integrity(archive, md5)


def _read(kind: Any, folder: Path) -> tuple[Any, Any]:
    """torchvision's objects of both splits; archives that it downloads are moved to `folder`."""
    for left in folder.glob(".tmp-*"):
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=folder) as root:
        place = Path(root, kind.__name__, "raw") if hasattr(kind, "resources") else Path(root)
        place.mkdir(parents=True, exist_ok=True)
        for archive in _checksums(kind):
            if (folder / archive).exists():
                (place / archive).symlink_to((folder / archive).resolve())
        try:
            return kind(root, train=True, download=True), kind(root, train=False)
        finally:
            for archive, md5 in _checksums(kind).items():
                if not (folder / archive).exists() and _fits(place / archive, md5):
                    (place / archive).replace(folder / archive)


def _failure(name: str, error: Exception) -> UserError:
    reason = " ".join(str(getattr(error, "strerror", None) or error).split())
    missing = [file.name for file in files(name) if not file.exists()]
    if not missing:
        return UserError(f"cannot unpack {RAW / name}: {reason}; make room or the folder writable.")
    return UserError(
        f"{name} cannot be downloaded ({reason}); run this again with a network, or put "
        f"{', '.join(missing)} into {RAW / name} by hand."
    )


def _split(read: Any, limit: int | None) -> Split:
    """torchvision's (N, H, W) or (N, H, W, C) to (N, C, H, W), or `limit` of them."""
    x, labels = np.asarray(read.data), np.asarray(read.targets, dtype=np.int64)
    chosen = limited(labels, limit)
    x, labels = x[chosen], labels[chosen]
    x = x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2)
    return Split(np.ascontiguousarray(x), labels)
