"""`samples.npz` of a run: samples as they are scored, by key, and what they were drawn from.

Keys are those of the sampler's schedules, a word and a number of steps: `steps1`, `steps2`, ...
after each step of the few-step sampler, or `heun18`. Beside them `snapshot<step>` along training;
of points also `noise`, `pair_x` and `pair_z`. All arrays are (N, C, H, W), uint8 images or float32
points.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np

from vct.lab import records
from vct.lab.errors import UserError, out_of_memory
from vct.lab.files.layout import RunId
from vct.lab.files.whole import atomic
from vct.lab.records import SampleRecord
from vct.samplers.base import parse_key

_RECORD = "record"
T = TypeVar("T")


def scored(parts: Mapping[str, T]) -> dict[str, T]:
    """Those of `parts` (arrays, scores) whose keys are of scored samples; fewest steps first."""
    counts = {key: found[1] for key in parts if (found := parse_key(key))}
    return {key: parts[key] for key in sorted(counts, key=counts.__getitem__)}


def write(run: RunId, arrays: dict[str, np.ndarray], record: SampleRecord) -> None:
    """Write samples.npz of a run; the same arrays and record give the same bytes."""
    with atomic(_path(run)) as temporary:
        content = {**arrays, _RECORD: np.array(record.text())}
        np.savez(temporary, allow_pickle=False, **content)


def read(run: RunId) -> tuple[dict[str, np.ndarray], SampleRecord]:
    """Arrays by key, and what they were drawn with and from.

    Raises:
        UserError: if the file is missing or damaged.
    """
    with _opened(run) as file:
        arrays = dict(file)
        return arrays, _parse(run, arrays.pop(_RECORD))


def read_record(run: RunId) -> SampleRecord | None:
    """What the samples were drawn with and from; None where there are none.

    Raises:
        UserError: if the file is damaged.
    """
    if not _path(run).exists():
        return None
    with _opened(run) as file:
        return _parse(run, file[_RECORD])


@contextmanager
def _opened(run: RunId) -> Iterator[Mapping[str, np.ndarray]]:
    try:
        with np.load(_path(run), allow_pickle=False) as file:
            yield file
    except Exception as error:  # a damaged archive fails in many ways
        if isinstance(error, UserError) or out_of_memory(error):
            raise
        path = _path(run)
        raise UserError(
            f"{path} is missing or damaged ({error}); draw again: vct sample {run}"
        ) from None


def _parse(run: RunId, text: np.ndarray) -> SampleRecord:
    place = f"'{_RECORD}' of {_path(run)}"
    return records.parse(SampleRecord, str(text), place, f"draw again: vct sample {run}")


def _path(run: RunId) -> Path:
    return run.directory / "samples.npz"
