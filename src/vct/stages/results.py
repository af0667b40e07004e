"""What a run left in its folder, for the stages that read it.

Free of torch, which takes seconds to import: scoring points, tables and figures do without.
"""

import zipfile
from typing import Any

import numpy as np

from vct.config import Params, RunSettings, run_settings
from vct.differences import differences
from vct.errors import UserError
from vct.files import read_json
from vct.layout import RunId
from vct.reporting.names import SAMPLES


def checked_record(params: Params, run: RunId) -> tuple[RunSettings, dict[str, Any]]:
    """Settings of a run and its config.json, which must agree.

    Raises:
        UserError: if the run was trained with other settings than params.yaml holds now.
    """
    settings = run_settings(params, run)
    record = read_json(run.directory / "config.json")
    if record.get("settings_sha256") != settings.sha256():
        found = differences(record.get("settings"), settings.model_dump(mode="json"))
        raise UserError(
            f"{run.directory} was trained with other settings ({', '.join(found)}); train it "
            f"again: vct train {run}"
        )
    return settings, record


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


def scored(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The samples that are scored, of all that samples.npz holds; fewest steps first."""
    found = {key: SAMPLES.fullmatch(key) for key in arrays}
    counts = {key: int(match[2]) for key, match in found.items() if match}
    return {key: arrays[key] for key in sorted(counts, key=counts.__getitem__)}
