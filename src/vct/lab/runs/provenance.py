"""Whether the files of a run are what its records say: every recorded hash against the disk."""

import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vct.lab import versions
from vct.lab.commands.score import SEALED
from vct.lab.data import dataset
from vct.lab.errors import UserError
from vct.lab.files.differences import differences
from vct.lab.files.layout import (
    AVERAGES_FILE,
    NAME,
    SAMPLE_FILES,
    TRAIN_FILES,
    RunId,
    dataset_dir,
    extractor_dir,
)
from vct.lab.files.whole import file_sha256, read_object
from vct.lab.runs.results import WEIGHTS, parse_sample_record, read_record
from vct.lab.settings.params import Params
from vct.lab.settings.run import run_settings, settings_sha256

State = Literal["ok", "differs", "missing", "not recorded", "not made yet"]

PROBLEMS: tuple[State, ...] = ("differs", "missing")
"""The states that say that a file is not to be trusted."""


@dataclass(frozen=True)
class Check:
    """One recorded fact and what the disk says of it."""

    state: State
    item: str
    detail: str = ""


@dataclass(frozen=True)
class Records:
    """What the stages of a run wrote about themselves; None for a stage that was not run yet."""

    run: RunId
    config: dict[str, Any]
    samples: dict[str, Any] | None
    protocol: dict[str, Any] | None

    @classmethod
    def read(cls, run: RunId) -> "Records":
        """Read config.json, the record in samples.npz, and protocol.json.

        Raises:
            UserError: if the run was not trained, or a record is damaged.
        """
        config, protocol = read_record(run), run.directory / "protocol.json"
        _name(_part(config["settings"], "train", run), "dataset", run)
        return cls(
            run, config, _sample_record(run), read_object(protocol) if protocol.exists() else None
        )

    @property
    def dataset(self) -> str:
        """Name of the data set that was trained on."""
        return str(self.config["settings"]["train"]["dataset"])

    @property
    def extractor(self) -> dict[str, Any] | None:
        """Name and sha256 of the feature extractor, None where points were scored."""
        found = (self.protocol or {}).get("extractor")
        if found is None:
            return None
        if not isinstance(found, dict):
            raise _damaged(self.run, "protocol.json", "extractor")
        _name(found, "name", self.run, "protocol.json")
        return found


def _sample_record(run: RunId) -> dict[str, Any] | None:
    path = run.directory / "samples.npz"
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            text = file.get("record", None)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is damaged ({error}); draw again: vct sample {run}") from None
    return parse_sample_record(run, text)


def _part(content: dict[str, Any], key: str, run: RunId) -> dict[str, Any]:
    if not isinstance(content.get(key), dict):
        raise _damaged(run, "config.json", key)
    return content[key]


def _name(content: dict[str, Any], key: str, run: RunId, file: str = "config.json") -> None:
    """Names in a record become paths, so they must be names."""
    if not isinstance(content.get(key), str) or not NAME.fullmatch(content[key]):
        raise _damaged(run, file, key)


def _damaged(run: RunId, file: str, key: str) -> UserError:
    return UserError(
        f"{run.directory / file} is damaged: {key} is not what a stage writes; make it again."
    )


# --- the checks ------------------------------------------------------------------------------


def check_all(params: Params, records: Records) -> list[Check]:
    """Every recorded hash and version, in the order of the stages."""
    return [
        *_settings(params, records),
        *_versions(records),
        _data(records),
        *_files(records, "config.json", records.config, TRAIN_FILES[:-1]),
        *_samples(records),
        *_scores(records),
    ]


def _settings(params: Params, records: Records) -> Iterator[Check]:
    settings, known = records.config["settings"], records.config["settings_sha256"]
    item = "settings in config.json"
    whole = settings_sha256(settings) == known
    yield Check("ok", item, known) if whole else Check("differs", item, f"recorded {known}")
    try:
        now = run_settings(params, records.run).model_dump(mode="json")
    except UserError as error:
        yield Check("differs", "settings in params.yaml", str(error))
        return
    found = differences(settings, now)
    yield Check("differs" if found else "ok", "settings in params.yaml", ", ".join(found))


def _versions(records: Records) -> Iterator[Check]:
    code = records.config.get("code")
    found = {"training": (code.get("training") if isinstance(code, dict) else None)}
    if records.samples:
        found["sampling"] = records.samples["version"]
    if records.protocol:
        found["scoring"] = records.protocol.get("version")
    for stage, version in found.items():
        now = getattr(versions, stage.upper())
        same = version == now
        detail = f"version {version}" + ("" if same else f", this program has {now}")
        yield Check("ok" if same else "differs", f"code of {stage}", detail)


def _data(records: Records) -> Check:
    folder, known = dataset_dir(records.dataset), records.config["data_sha256"]
    if not (folder / "meta.json").exists():
        return Check("missing", str(folder), f"recorded {known}")
    try:
        found = dataset.load(records.dataset).sha256
    except UserError as error:
        return Check("differs", str(folder), str(error))
    return _compared(str(folder), known, found)


def _samples(records: Records) -> Iterator[Check]:
    if records.samples is None:
        yield _later(records, SAMPLE_FILES[0], "sample", records.protocol is not None)
        return
    rebuilt = [name for name in (AVERAGES_FILE,) if name in records.samples["files"]]
    yield from _files(records, "samples.npz", records.samples, [*WEIGHTS, *rebuilt])
    known = records.config["data_sha256"]
    yield _compared("data of samples.npz", records.samples["data_sha256"], known)


def _scores(records: Records) -> Iterator[Check]:
    protocol = records.protocol
    if protocol is None:
        yield _later(records, "metrics.json", "score", False)
        return
    yield from _files(records, "protocol.json", protocol, SEALED)
    reference = protocol.get("reference")
    known = reference.get("sha256") if isinstance(reference, dict) else None
    yield _compared("reference of protocol.json", known, records.config["data_sha256"])
    if extractor := records.extractor:
        path = extractor_dir(extractor["name"]) / "weights.safetensors"
        yield _file(path, "protocol.json", extractor.get("sha256"))


def _later(records: Records, name: str, stage: str, used: bool) -> Check:
    """A stage that was not run; if a later one has used its file, the file is gone."""
    path = str(records.run.directory / name)
    return Check("missing" if used else "not made yet", path, f"vct {stage} {records.run}")


def _files(
    records: Records, recorder: str, record: dict[str, Any], names: Iterable[str]
) -> Iterator[Check]:
    known = record.get("files")
    for name in names:
        found = known.get(name) if isinstance(known, dict) else None
        yield _file(records.run.directory / name, recorder, found)


def _file(path: Path, recorder: str, known: Any) -> Check:
    item = f"{path}, recorded in {recorder}"
    if known is None:
        return Check("not recorded", item)
    if not path.exists():
        return Check("missing", item, f"recorded {known}")
    return _compared(item, known, file_sha256(path))


def _compared(item: str, known: Any, found: str) -> Check:
    if known == found:
        return Check("ok", item, found)
    return Check("differs", item, f"recorded {json.dumps(known)}, found {found}")
