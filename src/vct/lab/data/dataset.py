"""The common format on disk: memory-mapped arrays, labels and a content hash.

A data set is a folder with `{train,test}_x.npy` (uint8 images or float32 points, (N, C, H, W)),
`{train,test}_labels.npy` (int64, -1 where there is none) and `meta.json`, which is written last and
holds the hash. It is written piece by piece and read through memory maps, so it may be larger than
memory.
"""

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from vct.lab import records
from vct.lab.data import hash_record
from vct.lab.data.classes import untrained
from vct.lab.data.growing import GrowingArray
from vct.lab.data.sources.base import Pieces, Split, checked, refused
from vct.lab.errors import UserError
from vct.lab.files.differences import differences
from vct.lab.files.layout import DATA_FILES, dataset_dir, dataset_state
from vct.lab.files.whole import atomic
from vct.lab.processes.progress import Progress
from vct.lab.processes.streams import say
from vct.lab.records import DatasetRecord
from vct.lab.settings.data import DatasetSettings
from vct.lab.settings.own_code import own_code
from vct.lab.settings.params import Params

MB = 2**20
SMALL = 256 * MB
"""Up to this many bytes (a second's work) a data set is hashed whenever it is opened; a larger one
when its files have changed since the last time, see `vct.lab.data.hash_record`."""


MIXED = ("mixture", "digits", "mnist", "torchvision", "stand_in")
"""Sources whose order says nothing of what a sample is."""


@dataclass(frozen=True)
class Dataset:
    """A data set on disk.

    Args:
        name: its name in params.yaml.
        train, test: arrays, memory-mapped.
        meta: shape, classes, hash of the content, and what the source adds.
    """

    name: str
    train: Split
    test: Split
    meta: DatasetRecord

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.meta.shape
        return channels, height, width

    @property
    def is_points(self) -> bool:
        """Points are float32 and stay as they are; images are uint8 and are scaled to [-1, 1]."""
        return self.meta.dtype == "float32"

    @property
    def untrained(self) -> str:
        """Which classes no training sample is of, in words; "" if there is none."""
        return untrained(self.train.labels, self.meta.classes, self.meta.class_names)

    def chosen(self, count: int) -> np.ndarray:
        """Places (n,), rising, of training samples that stand for all; n is `count` at most.

        The first ones of our sources in no order; of others, such as folders of which each is a
        class, random ones, which are the same each time.
        """
        size = len(self.train.x)
        if size <= count or self.meta.source.get("source") in MIXED:
            return np.arange(min(size, count))
        return np.sort(np.random.default_rng(0).choice(size, count, replace=False))

    @property
    def deviation(self) -> float:
        """Standard deviation of the values that training sees, of 2,000 samples at most."""
        x = self.train.x[self.chosen(2000)].astype(np.float64)
        return float(np.std(x if self.is_points else x / 127.5 - 1))

    @property
    def sha256(self) -> str:
        """Hash of the content."""
        return self.meta.sha256


def write(
    name: str,
    source: Pieces,
    settings: dict[str, Any],
    root: Path = Path(),
    code: dict[str, str] | None = None,
) -> DatasetRecord:
    """Write a data set in the common format; return what meta.json says.

    Args:
        code: hash of a user's source.

    If the source fails, what was there before stays. Only one process may write a data set at a
    time: what a killed one left behind is removed.

    Raises:
        UserError: if the files cannot be written, if what the source gives is no data set, and
            what the source raises.
    """
    folder = root / dataset_dir(name)
    for left in folder.glob(".tmp-*"):
        left.unlink()
    try:
        # All arrays are written beside their places, then moved there.
        with ExitStack() as stack:
            paths = [stack.enter_context(atomic(folder / file)) for file in DATA_FILES[:-1]]
            _write_arrays(paths, name, source)
            meta = _described(paths, name, source, settings, code)
            # From here until the new one is written, the folder says itself that it is not whole.
            (folder / "meta.json").unlink(missing_ok=True)
    except BaseException:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        raise
    records.write(meta, folder / "meta.json")
    _note(name, root, meta.sha256)
    labels = _open(folder / "train_labels.npy")
    if missing := untrained(labels, meta.classes, meta.class_names):
        say(f"{name}: {missing}; no conditional training takes these data")
    return meta


def _write_arrays(paths: list[Path], name: str, source: Pieces) -> None:
    with ExitStack() as streams:
        grow = [GrowingArray(streams.enter_context(path.open("wb"))) for path in paths]
        for split, piece in checked(source, name):
            x, labels = grow[:2] if split == "train" else grow[2:]
            x.append(piece.x)
            labels.append(piece.labels)
        for array in grow:
            array.close()


def _described(
    paths: list[Path],
    name: str,
    source: Pieces,
    settings: dict[str, Any],
    code: dict[str, str] | None,
) -> DatasetRecord:
    """What meta.json will say of arrays on disk."""
    arrays = [_open(path) for path in paths]
    facts = {
        "format": 1,
        "name": name,
        "source": settings,
        "sha256": content_hash(paths, arrays),
        **_facts(arrays),
        "classes": source.classes,
        **({"own_code": code} if code else {}),
    }
    try:
        meta = DatasetRecord.model_validate({**source.extra, **facts})
        meta.content()
    except (TypeError, ValueError) as error:  # an own source may add anything
        why = records.problem(error) if isinstance(error, ValidationError) else error
        raise refused(name, f"meta.json cannot hold its extra facts ({why})") from None
    return meta


def _facts(arrays: list[np.memmap]) -> dict[str, Any]:
    """What arrays on disk say of themselves."""
    x, _, test, _ = arrays
    shape = list(x.shape[1:])
    return {"train": len(x), "test": len(test), "shape": shape, "dtype": str(x.dtype)}


def _strange(arrays: list[np.memmap], classes: int) -> bool:
    """Whether a label is of no class; without classes labels are -1."""
    lowest, above = (0, classes) if classes else (-1, 0)
    return any(labels.min() < lowest or labels.max() >= above for labels in arrays[1::2])


def content_hash(files: list[Path], arrays: list[np.memmap]) -> str:
    """SHA-256 over shapes, types and values (in C order) of arrays on disk.

    The files are read and not mapped: mapped pages would count as memory of this process, all 16 GB
    of them.
    """
    digest, done = hashlib.sha256(), 0
    with Progress(sum(array.nbytes for array in arrays) // MB, "MB hashed") as progress:
        for file, array in zip(files, arrays, strict=True):
            digest.update(f"{array.shape}{array.dtype}".encode())
            with file.open("rb") as stream:
                stream.seek(array.offset)
                while block := stream.read(MB):
                    digest.update(block)
                    done += len(block)
                    progress.to(done // MB)
    return digest.hexdigest()


def load(name: str, root: Path = Path(), thorough: bool = False) -> Dataset:
    """Open a data set and compare its content with the recorded hash.

    A data set of more than `SMALL` bytes whose files are those that were hashed before is not
    hashed again, unless `thorough`.

    Raises:
        UserError: if a file is missing or damaged, or the content is not what was written.
    """
    folder = root / dataset_dir(name)
    remedy = f"make it again with: vct data {name}"
    for file in DATA_FILES:
        if not (folder / file).is_file():
            raise UserError(f"{folder / file} is missing; make it: vct data {name}")
    meta = records.read(DatasetRecord, folder / "meta.json")
    arrays = []
    for file in DATA_FILES[:-1]:
        try:
            arrays.append(_open(folder / file))
        except Exception as error:  # numpy's reader meets a damaged header with many kinds
            raise UserError(f"{folder / file} is damaged ({error}); {remedy}") from None
    if not _holds(name, root, arrays, meta.sha256, thorough):
        raise UserError(f"{folder} does not hold what {folder / 'meta.json'} records; {remedy}")
    found = _facts(arrays)
    if found != meta.model_dump(include=set(found)) or _strange(arrays, meta.classes):
        raise UserError(f"{folder / 'meta.json'} does not describe the arrays beside it; {remedy}")
    return Dataset(name, Split(arrays[0], arrays[1]), Split(arrays[2], arrays[3]), meta)


def described(params: Params, name: str) -> Dataset:
    """The data set `name`, as params.yaml describes it.

    Raises:
        UserError: if it was made with other settings or code, and what `load` raises.
    """
    data = load(name)
    if other := otherwise(data.meta, params.dataset(name)):
        raise UserError(
            f"{dataset_dir(name)} was made otherwise than datasets.{name} of params.yaml says now "
            f"({', '.join(other)}); make it again: vct data {name}"
        )
    return data


def otherwise(meta: DatasetRecord, settings: DatasetSettings) -> list[str]:
    """What a data set was made with that is not so now: settings, and the code of a user's source,
    where it was recorded."""
    now, then = own_code(settings).get("own_code", {}), meta.own_code
    edited = [] if then is None else [name for name in now if now[name] != then.get(name)]
    other = differences(meta.source, settings.model_dump(mode="json"))
    return [*other, *(f"code of {name}" for name in edited)]


def _holds(name: str, root: Path, arrays: list[np.memmap], sha256: str, thorough: bool) -> bool:
    """Whether the arrays hold the content of `sha256`."""
    files, size = _array_files(name, root), sum(array.nbytes for array in arrays)
    if size > SMALL and not thorough and hash_record.holds(_record(name, root), sha256, files):
        return True
    if content_hash(files, arrays) != sha256:
        return False
    _note(name, root, sha256)
    return True


def _note(name: str, root: Path, sha256: str) -> None:
    """Spare a large data set its next hashing."""
    files = _array_files(name, root)
    if sum(file.stat().st_size for file in files) > SMALL:
        hash_record.note(_record(name, root), sha256, files)


def _record(name: str, root: Path) -> Path:
    return root / dataset_state(name) / "verified.json"


def _array_files(name: str, root: Path) -> list[Path]:
    return [root / dataset_dir(name) / file for file in DATA_FILES[:-1]]


def _open(file: Path) -> np.memmap:
    array: np.memmap = np.load(file, mmap_mode="r", allow_pickle=False)
    if not array.flags.c_contiguous:
        raise ValueError("its values are in another order")
    return array
