"""What a run left in its folder, for the stages that read it.

Free of torch, which takes seconds to import: scoring points, tables and figures do without.
"""

import math
import re
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from vct.config import Params, RunSettings, run_settings
from vct.data.dataset import Dataset
from vct.differences import differences
from vct.errors import UserError, quoted
from vct.files import damaged, read_object
from vct.layout import RunId


def checked_record(params: Params, run: RunId) -> tuple[RunSettings, dict[str, Any]]:
    """Settings of a run and its config.json, which must agree.

    Raises:
        UserError: if the file is missing or damaged, is of another run, or if the run was trained
            with other settings than params.yaml holds now.
    """
    settings = run_settings(params, run)
    path = run.directory / "config.json"
    record = read_object(path)
    if record.get("settings_sha256") != settings.sha256():
        found = differences(record.get("settings"), settings.model_dump(mode="json"))
        raise UserError(
            f"{run.directory} was trained with other settings ({', '.join(found)}); train it "
            f"again: vct train {run}"
        )
    summary = record.get("summary")
    if record.get("run") != str(run):
        raise damaged(path, f"it is of the run {quoted(record.get('run'))}, not {run}")
    if not isinstance(record.get("data_sha256"), str) or not isinstance(summary, dict):
        raise damaged(path, "it lacks data_sha256 or summary")
    return settings, record


def read_samples(run: RunId, data: Dataset) -> dict[str, np.ndarray]:
    """What `samples.npz` of a run holds: samples of the form of `data`, by name.

    Names are `steps<n>` and `snapshot<step>`; of points also `noise`, `pair_x` and `pair_z`; and
    `settings`, a text. All but `settings` are (N, C, H, W); of samples there are at least 2.

    Raises:
        UserError: if the file is missing or damaged, or holds something else.
    """
    path = run.directory / "samples.npz"
    try:
        arrays = _read_npz(path)
        _check_arrays(arrays, data)
    except Exception as error:  # zipfile and numpy meet a damaged file with many kinds
        raise UserError(
            f"{path} is missing or damaged ({error}); draw them again: vct sample {run}"
        ) from None
    return arrays


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    """Arrays of an archive whose members are stored as they are, so that none can swell."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
        if not stored or sum(member.file_size for member in members) > path.stat().st_size:
            raise ValueError("it is packed otherwise than it was written")
        for member in members:
            with archive.open(member) as stream:
                _check_size(stream, member.file_size)
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def _check_size(stream: IO[bytes], size: int) -> None:
    """numpy makes room for as many values as a header claims, before it reads them."""
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"an array is of format {version}")
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    if stream.tell() + math.prod(shape) * dtype.itemsize != size:
        raise ValueError("an array is longer or shorter than its header says")


_SAMPLES = re.compile(r"steps[1-9][0-9]{0,4}|snapshot[1-9][0-9]{0,9}")
_OF_POINTS = ("noise", "pair_x", "pair_z")


def _check_arrays(arrays: dict[str, np.ndarray], data: Dataset) -> None:
    needed = {"settings", "steps1", *(_OF_POINTS if data.is_points else ())}
    if missing := needed - arrays.keys():
        raise ValueError(f"it lacks {', '.join(sorted(missing))}")
    for name, array in arrays.items():
        if name == "settings":
            # numpy finds out that a character does not exist when it makes the text.
            fits = array.dtype.kind == "U" and isinstance(array.item(), str)
        else:
            least = 2 if _SAMPLES.fullmatch(name) else 1
            fits = least == 2 or name in needed
            fits = fits and array.ndim == 4 and array.dtype == data.train.x.dtype
            fits = fits and len(array) >= least and array.shape[1:] == data.shape
        if not fits:
            raise ValueError(f"{quoted(name)} of shape {array.shape} is nothing that is sampled")
    if data.is_points and len(arrays["noise"]) != len(arrays["steps1"]):
        raise ValueError("there are more or fewer samples than noise")
