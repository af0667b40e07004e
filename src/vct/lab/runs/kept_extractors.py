"""Extractors that were trained here and by which kept runs were scored, kept beside them.

The same training ends with other last digits on another processor, and scores of other weights
cannot share a table. So the stage of such an extractor takes the kept weights, if they are of its
settings, data and version.
"""

import shutil
from pathlib import Path

from vct.lab import records, versions
from vct.lab.data import dataset
from vct.lab.errors import UserError
from vct.lab.files.layout import EXTRACTOR_FILES, extractor_dir, kept_dir
from vct.lab.files.whole import atomic, hashes
from vct.lab.records import KeptExtractorRecord, ProtocolRecord
from vct.lab.runs import kept
from vct.lab.runs.current import KEPT_EXTRACTOR as RECORD
from vct.lab.runs.current import is_current
from vct.lab.settings.params import Params


def keep(params: Params, suite: str) -> None:
    """Copy the extractors that scored the runs of a suite, where they are here."""
    scored_by = {}
    for name in params.suite(suite):
        for place in kept.places(params, suite, name, finished=True).values():
            if is_current(params, place):
                judge = records.read(ProtocolRecord, place.directory / "protocol.json").extractor
                if judge and params.extractor(judge.name).trained_on is not None:
                    scored_by[judge.name] = judge.sha256
    for name, sha256 in scored_by.items():
        source, target = extractor_dir(name), _folder(suite, name)
        if all((source / file).exists() for file in EXTRACTOR_FILES):
            record = _record(params, name, hashes(source, EXTRACTOR_FILES))
            if record.files["weights.safetensors"] == sha256:
                _copy(source, target)
                records.write(record, target / RECORD)


def restore(params: Params, name: str) -> Path | None:
    """Put the kept weights of an extractor where its stage writes; return where they were, or None
    if none are kept that it would make of its settings and data."""
    for suite in params.suites:
        folder = _folder(suite, name)
        if not (folder / RECORD).exists():
            continue
        record = records.read(KeptExtractorRecord, folder / RECORD)
        if record != _record(params, name, record.files):
            continue
        if hashes(folder, EXTRACTOR_FILES) != record.files:
            raise UserError(
                f"{folder} holds other files than {RECORD} in it says; restore the folder, or "
                "remove it to train the extractor again."
            )
        _copy(folder, extractor_dir(name))
        return folder
    return None


def _record(params: Params, name: str, files: dict[str, str]) -> KeptExtractorRecord:
    settings = params.extractor(name)
    return KeptExtractorRecord(
        settings=settings.model_dump(mode="json"),
        data_sha256=dataset.load(str(settings.trained_on)).sha256,
        version=versions.SCORING,
        files=files,
    )


def _copy(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in EXTRACTOR_FILES:
        with atomic(target / name) as temporary:
            shutil.copyfile(source / name, temporary)


def _folder(suite: str, name: str) -> Path:
    return kept_dir(suite) / extractor_dir(name).relative_to("results")
