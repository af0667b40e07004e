"""What a run left in its folder, for the stages that read it, and whether it belongs together.

Each stage records the SHA-256 of what it read and wrote: `config.json` those of the weights,
`samples.npz` those of the weights it was drawn from, `protocol.json` those of the samples and the
scores. Free of torch, which takes seconds to import: scoring points, tables and figures do without.
"""

import json
import math
import re
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from vct.lab import build, versions
from vct.lab.data.dataset import Dataset
from vct.lab.errors import UserError, quoted
from vct.lab.files.differences import differences
from vct.lab.files.layout import AVERAGES_FILE, RunId
from vct.lab.files.whole import damaged, hashes, read_object
from vct.lab.report.names import SAMPLES
from vct.lab.settings.params import Params
from vct.lab.settings.run import RunSettings, run_settings, settings_sha256
from vct.lab.settings.sample import SampleSettings

WEIGHTS = ("model.safetensors", "snapshots.safetensors")
"""What all samples are drawn from."""


def weights_of(sample: SampleSettings) -> tuple[str, ...]:
    """The files of weights that these samples are drawn from."""
    return (*WEIGHTS, *(() if sample.ema_width is None else (AVERAGES_FILE,)))


def checked_record(params: Params, run: RunId) -> tuple[RunSettings, dict[str, Any]]:
    """Settings of a run and its config.json, which must agree.

    Raises:
        UserError: if config.json is damaged or of another run, or if the run was trained with other
            settings than params.yaml holds now.
    """
    settings = run_settings(params, run)
    record = read_record(run)
    if settings_sha256(record["settings"]) != record["settings_sha256"]:
        path = run.directory / "config.json"
        raise damaged(path, "its settings are not those that were hashed")
    if record["settings_sha256"] != settings.sha256():
        found = differences(record["settings"], settings.model_dump(mode="json"))
        raise UserError(
            f"{run.directory} was trained with other settings ({', '.join(found)}); train it "
            f"again: vct train {run}"
        )
    return settings, record


def read_record(run: RunId) -> dict[str, Any]:
    """config.json of a run, with the keys that other stages read.

    Raises:
        UserError: if it is missing, damaged or of another run.
    """
    path = run.directory / "config.json"
    record = read_object(path)
    kinds = {"settings_sha256": str, "data_sha256": str, "settings": dict, "summary": dict}
    wrong = [key for key, kind in kinds.items() if not isinstance(record.get(key), kind)]
    if not isinstance(record.get("files", {}), dict):
        wrong.append("files")
    if wrong:
        raise damaged(path, f"it has no {wrong[0]}")
    if record.get("run") != str(run):
        raise damaged(path, f"it is of the run {quoted(record.get('run'))}, not {run}")
    return record


def checked_weights(run: RunId, sample: SampleSettings, record: dict[str, Any]) -> dict[str, str]:
    """Hashes of the weights on disk, which must be those that config.json records.

    Raises:
        UserError: if a file differs or is missing.
    """
    found = hashes(run.directory, weights_of(sample))
    for name, sha256 in found.items():
        if record.get("files", {}).get(name, sha256) != sha256:
            raise UserError(
                f"{run.directory / name} is not the file that config.json beside it records; "
                f"restore it, or train again: vct train {run}"
            )
    return found


def sample_record(sample: SampleSettings, data_sha256: str, files: dict[str, str]) -> np.ndarray:
    """The entry `record` of samples.npz: what the samples were drawn with and from.

    Args:
        files: hashes of the weights before sampling began; a training may end meanwhile.
    """
    record = {
        "version": versions.SAMPLING,
        "settings": sample.model_dump(mode="json"),
        "data_sha256": data_sha256,
        "files": files,
    }
    return np.array(json.dumps(record))


def check_samples(
    run: RunId, samples: dict[str, np.ndarray], sample: SampleSettings, record: dict[str, Any]
) -> None:
    """Refuse samples that were not drawn as `sample` says from the weights of config.json.

    Raises:
        UserError: naming what differs.
    """
    path = run.directory / "samples.npz"
    found = parse_sample_record(run, samples.get("record"))
    trained = record.get("files", {})
    keys = sample_keys(sample, record["settings"]["train"]["t_max"])
    both = trained.keys() & found["files"].keys()
    same = found["data_sha256"] == record["data_sha256"] and all(
        found["files"][name] == trained[name] for name in both
    )
    if found["version"] != versions.SAMPLING:
        why = f"by version {found['version']} of the sampler, not {versions.SAMPLING}"
    elif found["settings"] != sample.model_dump(mode="json"):
        why = "with other settings than params.yaml holds"
    elif set(scored(samples)) != set(keys):
        why = f"with other steps than {', '.join(keys)}"
    elif not same:
        why = "from other weights or data than config.json beside it records"
    else:
        return
    raise UserError(f"{path} was drawn {why}, so it is not scored; draw again: vct sample {run}")


def sample_keys(sample: SampleSettings, t_max: float) -> list[str]:
    """Names of what is scored: `steps1`, `steps2`, ... for each time, or `heun18`."""
    return list(build.sampler(sample, t_max).schedules)


def parse_sample_record(run: RunId, text: np.ndarray | None) -> dict[str, Any]:
    """What `sample_record` wrote.

    Raises:
        UserError: if it is not there or damaged.
    """
    try:
        record = json.loads(str(text))
        kinds = {"version": int, "settings": dict, "data_sha256": str, "files": dict}
        if not all(isinstance(record[key], kind) for key, kind in kinds.items()):
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"{run.directory}/samples.npz does not say what it was drawn from; draw again: "
            f"vct sample {run}"
        ) from None
    return record


def read_samples(run: RunId, data: Dataset) -> dict[str, np.ndarray]:
    """What `samples.npz` of a run holds: samples of the form of `data`, by name.

    Names are `steps<n>` and `snapshot<step>`; of points also `noise`, `pair_x` and `pair_z`; and
    `record`, a text. All but `record` are (N, C, H, W); of samples there are at least 2.

    Raises:
        UserError: if the file is missing or damaged, or holds something else.
    """
    path = run.directory / "samples.npz"
    try:
        arrays = _read_npz(path)
        _check_arrays(arrays, data)
    except MemoryError:
        raise
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


_SNAPSHOT = re.compile(r"snapshot[1-9][0-9]{0,9}")
_OF_POINTS = ("noise", "pair_x", "pair_z")


def _check_arrays(arrays: dict[str, np.ndarray], data: Dataset) -> None:
    drawn = list(scored(arrays))
    needed = {"record", *(drawn or ["steps1"]), *(_OF_POINTS if data.is_points else ())}
    if missing := needed - arrays.keys():
        raise ValueError(f"it lacks {', '.join(sorted(missing))}")
    for name, array in arrays.items():
        if name == "record":
            # numpy finds out that a character does not exist when it makes the text.
            fits = array.dtype.kind == "U" and isinstance(array.item(), str)
        else:
            least = 2 if name in drawn or _SNAPSHOT.fullmatch(name) else 1
            fits = least == 2 or name in needed
            fits = fits and array.ndim == 4 and array.dtype == data.train.x.dtype
            fits = fits and len(array) >= least and array.shape[1:] == data.shape
        if not fits:
            raise ValueError(f"{quoted(name)} of shape {array.shape} is nothing that is sampled")
    if data.is_points and len(arrays["noise"]) != len(arrays[drawn[0]]):
        raise ValueError("there are more or fewer samples than noise")


def scored(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The samples that are scored, of all that samples.npz holds; fewest steps first."""
    found = {key: SAMPLES.fullmatch(key) for key in arrays}
    counts = {key: int(match[2]) for key, match in found.items() if match}
    return {key: arrays[key] for key in sorted(counts, key=counts.__getitem__)}
