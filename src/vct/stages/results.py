"""What a run left in its folder, for the stages that read it, and whether it belongs together.

Each stage records the SHA-256 of what it read and wrote: `config.json` those of the weights,
`samples.npz` those of the weights it was drawn from, `protocol.json` those of the samples and the
scores. Free of torch, which takes seconds to import: scoring points, tables and figures do without.
"""

import json
import zipfile
from typing import Any

import numpy as np

from vct import versions
from vct.config import Params, RunSettings, Sample, run_settings
from vct.differences import differences
from vct.errors import UserError
from vct.files import file_sha256, hashes, read_object
from vct.layout import RunId

WEIGHTS = ("model.safetensors", "snapshots.safetensors")
"""What samples are drawn from."""


def checked_record(params: Params, run: RunId) -> tuple[RunSettings, dict[str, Any]]:
    """Settings of a run and its config.json, which must agree.

    Raises:
        UserError: if config.json is damaged or of another run, or if the run was trained with other
            settings than params.yaml holds now.
    """
    settings = run_settings(params, run)
    record = read_record(run)
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
        raise UserError(f"{path} is damaged: it has no {wrong[0]}; train it again: vct train {run}")
    if record.get("run") != str(run):
        raise UserError(
            f"{path} is of the run {record.get('run')!r}, not {run}; train it again: vct train "
            f"{run}"
        )
    return record


def check_weights(run: RunId, record: dict[str, Any]) -> None:
    """Refuse weights on disk that are not those that config.json records.

    Raises:
        UserError: if a file differs or is missing.
    """
    for name in WEIGHTS:
        known = record.get("files", {}).get(name)
        if known is not None and known != file_sha256(run.directory / name):
            raise UserError(
                f"{run.directory / name} is not the file that config.json beside it records; "
                f"restore it, or train again: vct train {run}"
            )


def sample_record(run: RunId, sample: Sample, data_sha256: str) -> np.ndarray:
    """The entry `record` of samples.npz: what the samples were drawn with and from."""
    record = {
        "version": versions.SAMPLING,
        "settings": sample.model_dump(mode="json"),
        "data_sha256": data_sha256,
        "files": hashes(run.directory, WEIGHTS),
    }
    return np.array(json.dumps(record))


def check_samples(
    run: RunId, samples: dict[str, np.ndarray], sample: Sample, record: dict[str, Any]
) -> None:
    """Refuse samples that were not drawn as `sample` says from the weights of config.json.

    Raises:
        UserError: naming what differs.
    """
    path = run.directory / "samples.npz"
    found = parse_sample_record(run, samples.get("record"))
    trained = record.get("files", {})
    both = trained.keys() & found["files"].keys()
    same = found["data_sha256"] == record["data_sha256"] and all(
        found["files"][name] == trained[name] for name in both
    )
    if found["version"] != versions.SAMPLING:
        why = f"by version {found['version']} of the sampler, not {versions.SAMPLING}"
    elif found["settings"] != sample.model_dump(mode="json"):
        why = "with other settings than params.yaml holds"
    elif not same:
        why = "from other weights or data than config.json beside it records"
    else:
        return
    raise UserError(f"{path} was drawn {why}, so it is not scored; draw again: vct sample {run}")


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


def read_samples(run: RunId) -> dict[str, np.ndarray]:
    """What `samples.npz` of a run holds.

    Raises:
        UserError: if the file is missing or damaged.
    """
    path = run.directory / "samples.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} is missing or damaged ({error}); draw them again: vct sample {run}"
        ) from None
