"""The files in which statistics and features of reference images are kept.

A name holds everything that the numbers depend on; a damaged file is made again; and of several
processes that need the same file one computes it while the others wait. The files are arrays with
checksums, and reading one runs nothing.

Statistics of D features take 8 D² bytes (34 MB for an Inception). Features are kept only where a
metric needs those of every image, and take N D numbers: 50,000 images in 2,048 features of 4 bytes
are 400 MB.
"""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vct.lab import versions
from vct.lab.errors import UserError
from vct.lab.files.whole import atomic
from vct.lab.metrics.extractors.base import Extractor

# Enough of a hash for any number of files, short enough for a file's name.
DIGITS = 20

Arrays = dict[str, NDArray[np.floating]]


@dataclass(frozen=True)
class StatisticsCache:
    """The files of one set of images in a folder.

    Attributes:
        root: the folder.
        label: a readable word for the files' names: letters, digits, '-' and '_'.
        content: hash of the images, in hexadecimal.
    """

    root: Path
    label: str
    content: str

    def path(self, what: str, extractor: Extractor, device: torch.device | str) -> Path:
        """The file that keeps `what` of the images in the features of an extractor."""
        from torch_fidelity import __version__

        parts = (
            *(self.label, self.content[:DIGITS], extractor.name, extractor.sha256[:DIGITS]),
            *(torch.device(device).type, f"torch_fidelity{__version__}-{versions.SCORING}", what),
        )
        return self.root / ("-".join(parts) + ".npz")

    def get(
        self, path: Path, shapes: dict[str, tuple[int, ...]], compute: Callable[[], Arrays]
    ) -> Arrays:
        """The arrays of a file, which is made by `compute` if it is missing or damaged.

        Args:
            path: from `path`.
            shapes: of the arrays, by name; a file with others is damaged.

        Raises:
            UserError: if the folder cannot be written to or locked.
        """
        found = _read(path, shapes)
        if found is not None:
            return found
        with _lock(path):
            # Another process may have made it while this one waited for the lock.
            found = _read(path, shapes)
            if found is None:
                found = compute()
                with atomic(path) as temporary:
                    np.savez(temporary, allow_pickle=False, **found)
        return found


def _read(path: Path, shapes: dict[str, tuple[int, ...]]) -> Arrays | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in shapes}
        whole = all(
            array.dtype.kind == "f" and array.shape == shapes[name] and np.isfinite(array).all()
            for name, array in found.items()
        )
    except Exception:  # missing, or damaged in any way
        return None
    return found if whole else None


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    lock = path.with_suffix(".lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = open(lock, "w")  # noqa: SIM115
    except OSError as error:
        raise UserError(
            f"cannot write {lock}: {error.strerror}; make the folder writable."
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
