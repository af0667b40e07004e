"""`samples.npz` of a run: samples as they are scored, by key, and what they were drawn from.

Keys are those of the sampler's schedules, a word and a number of steps: `steps1`, `steps2`, ...
after each step of the few-step sampler, or `heun18`; of samples that start from another prior than
N(0, I), `fitted-steps1`, `aggregate-steps1` or `late-steps1`. Beside them `snapshot<step>` along
training; of points also `noise`, `pair_x` and `pair_z`. All arrays are (N, C, H, W), uint8 images
or float32 points.
"""

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.lib.format import write_array

from vct.lab import build, records
from vct.lab.errors import UserError, out_of_memory
from vct.lab.files.layout import RunId
from vct.lab.files.whole import atomic
from vct.lab.records import SampleRecord
from vct.lab.settings.sample import SampleSettings
from vct.samplers.base import parse_key

_RECORD = "record"
STANDARD = "standard"
"""The prior N(0, I), which goes without saying."""
T = TypeVar("T")


def key_of(prior: str, schedule: str) -> str:
    """Key of the samples that start from a prior, such as `fitted-steps1`."""
    return schedule if prior == STANDARD else f"{prior}-{schedule}"


def split_key(key: str) -> tuple[str, str]:
    """The prior and the sampler's key."""
    prior, _, schedule = key.rpartition("-")
    return prior or STANDARD, schedule


def schedules(sample: SampleSettings, t_max: float) -> dict[str, list[float]]:
    """Times at which the network is asked, by key; a late start has its own."""
    found = dict(build.sampler(sample, t_max).schedules)
    if sample.late_start is not None:
        late = build.sampler(sample, sample.late_start).schedules
        found |= {key_of("late", key): times for key, times in late.items()}
    return found


def scored(parts: Mapping[str, T]) -> dict[str, T]:
    """Those of `parts` (arrays, scores) whose keys are of scored samples; fewest steps first, and
    of as many those from N(0, I), as snapshots are drawn."""
    order = {
        key: (found[1], prior != STANDARD)
        for key in parts
        for prior, schedule in [split_key(key)]
        if (found := parse_key(schedule))
    }
    return {key: parts[key] for key in sorted(order, key=order.__getitem__)}


def write(run: RunId, arrays: dict[str, np.ndarray], record: SampleRecord) -> None:
    """Write samples.npz of a run; the same arrays and record give the same bytes.

    Those of `numpy.savez` differ from one Python to the next: it forces entries of over 4 GiB to be
    possible, and versions of Python spell that in two ways.
    """
    content = {**arrays, _RECORD: np.array(record.text())}
    with atomic(_path(run)) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for key, array in content.items():
            entry = zipfile.ZipInfo(f"{key}.npy")  # dated 1980, as numpy's are
            entry.file_size = array.nbytes  # whether it must be possible
            with archive.open(entry, "w") as stream:
                write_array(stream, array, allow_pickle=False)


def read(run: RunId) -> tuple[dict[str, np.ndarray], SampleRecord]:
    """Arrays by key, and what they were drawn with and from.

    Raises:
        UserError: if the file is missing or damaged, or holds numbers that are not finite, which
            are no samples.
    """
    with _opened(run) as file:
        arrays = dict(file)
        record = _parse(run, arrays.pop(_RECORD))
        _check_finite(run, arrays)
        return arrays, record


def _check_finite(run: RunId, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse NaN and infinity, which a diverged model gives; images of 8 bits hold none.

    Raises:
        UserError: naming the arrays.
    """
    points = {key: array for key, array in arrays.items() if array.dtype.kind == "f"}
    wild = [key for key, array in points.items() if not np.isfinite(array).all()]
    if wild:
        raise UserError(
            f"{_path(run)} holds numbers that are not finite ({', '.join(wild)}), which are no "
            f"samples: the model has diverged; train it again with a lower learning rate: vct "
            f"train {run} --fresh"
        )


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
