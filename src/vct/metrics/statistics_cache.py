"""The files in which torch-fidelity keeps the mean and covariance of a set of images.

torch-fidelity names them after the caller's words alone and trusts what it finds. Here a name
holds everything that the statistics depend on, a damaged file is made again, and of several
processes that need the same file one computes it while the others wait.

The files are pickles, and torch-fidelity unpickles whatever they hold. So each is read here first,
in a way that runs no code, and one that holds more than two arrays of numbers is deleted. What
remains: whoever can write into the folder could exchange a file between our look and
torch-fidelity's, a fraction of a second later; such a person could as well change the program.
"""

import fcntl
import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core.multiarray import _reconstruct
from numpy.typing import NDArray

from vct.errors import UserError

# Enough of a hash for any number of files, short enough for a file's name.
DIGITS = 20

_ARRAYS: list[Any] = [
    np.ndarray,
    np.dtype,
    np.dtypes.Float32DType,
    np.dtypes.Float64DType,
    _reconstruct,
]
"""All that a pickle of two arrays may name; none of them does more than make an array."""


def entry_name(images: NDArray[np.uint8], label: str, device: str) -> str:
    """Name for the statistics of `images`: a readable label, their content, what computes them."""
    from torch_fidelity import __version__

    digest = hashlib.sha256(f"{images.dtype} {images.shape}\n".encode())
    digest.update(np.ascontiguousarray(images).data)
    readable = re.sub(r"[^\w.-]", "_", label)[:80]
    return f"{readable}-{digest.hexdigest()[:DIGITS]}-torch_fidelity{__version__}-{device}"


@dataclass(frozen=True)
class StatisticsCache:
    """The files of one extractor in the folder `root`.

    Attributes:
        root: torch-fidelity's `cache_root`.
        extractor: the extractor's registered name, which holds the hash of its weights.
        layer: the name of its feature layer.
        features: its number of features D.
    """

    root: Path
    extractor: str
    layer: str
    features: int

    def statistics(self, name: str) -> Path:
        """Where torch-fidelity keeps mean and covariance."""
        return self.root / f"{name}-{self.extractor}-stat-fid-{self.layer}.pt"

    def _all_features(self, name: str) -> Path:
        """Where torch-fidelity keeps the features themselves."""
        return self.root / f"{name}-{self.extractor}-features-{self.layer}.pt"

    @contextmanager
    def filling(self, names: Sequence[str]) -> Iterator[None]:
        """Inside, torch-fidelity may read and write the entries `names`.

        Raises:
            UserError: if the folder cannot be written to or locked.
        """
        missing = sorted(name for name in set(names) if not self._usable(name))
        with ExitStack() as locks:
            for name in missing:
                locks.enter_context(self._lock(name))
            # Another process may have made them while this one waited for the lock.
            missing = [name for name in missing if not self._usable(name)]
            if not missing:
                locks.close()
            for name in missing:
                self.statistics(name).unlink(missing_ok=True)
                self._all_features(name).unlink(missing_ok=True)
            yield
            # The features are of no more use, and 400 MB for 50,000 images of an Inception.
            for name in missing:
                self._all_features(name).unlink(missing_ok=True)

    def _usable(self, name: str) -> bool:
        try:
            with torch.serialization.safe_globals(_ARRAYS):
                found: Any = torch.load(self.statistics(name), weights_only=True)
            mean, covariance = found["mu"], found["sigma"]
            numbers = mean.dtype.kind == covariance.dtype.kind == "f"
            finite = bool(np.isfinite(mean).all() and np.isfinite(covariance).all())
            shapes = mean.shape, covariance.shape
        except Exception:  # missing, or damaged in any of a pickle's many ways
            return False
        return numbers and finite and shapes == ((self.features,), (self.features, self.features))

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        path = self.statistics(name).with_suffix(".lock")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            file = open(path, "w")  # noqa: SIM115
        except OSError as error:
            raise UserError(
                f"cannot write {path}: {error.strerror}; make the folder writable."
            ) from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
