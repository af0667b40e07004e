"""Every recorded hash, setting and version of a run against the disk, for `vct show`."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vct.lab import records, versions
from vct.lab.data import dataset
from vct.lab.errors import UserError
from vct.lab.files.differences import differences
from vct.lab.files.layout import PREPARED_FILE, TRAIN_FILES, RunId, dataset_dir, extractor_dir
from vct.lab.files.whole import file_sha256
from vct.lab.records import ProtocolRecord, RunRecord, SampleRecord
from vct.lab.runs import samples
from vct.lab.runs.provenance import SCORED, SCORES, WEIGHTS, other_code, read_run
from vct.lab.settings.own_code import own_code
from vct.lab.settings.params import Params
from vct.lab.settings.run import run_settings, training_version

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
    config: RunRecord
    samples: SampleRecord | None
    protocol: ProtocolRecord | None

    @classmethod
    def read(cls, run: RunId) -> "Records":
        """Read config.json, the record in samples.npz, and protocol.json.

        Raises:
            UserError: if the run was not trained, or a record is damaged.
        """
        config, path = read_run(run), run.directory / "protocol.json"
        protocol = records.read(ProtocolRecord, path) if path.exists() else None
        return cls(run, config, samples.read_record(run), protocol)


def check_all(params: Params, found: Records) -> list[Check]:
    """Every recorded hash and version, in the order of the stages."""
    return [
        *_settings(params, found),
        *_versions(found),
        *_data(params, found),
        *_prepared(found),
        *_files(found, "config.json", found.config.files, TRAIN_FILES[:-1]),
        *_samples(found),
        *_scores(found),
    ]


def _settings(params: Params, found: Records) -> Iterator[Check]:
    yield Check("ok", "settings in config.json", found.config.settings_sha256)
    try:
        settings = run_settings(params, found.run)
    except UserError as error:
        yield Check("differs", "settings in params.yaml", str(error))
        return
    other = differences(found.config.settings, settings.model_dump(mode="json"))
    yield Check("differs" if other else "ok", "settings in params.yaml", ", ".join(other))
    if found.samples:
        now = params.experiment(found.run.experiment).sample.model_dump(mode="json")
        other = differences(found.samples.settings, now)
        detail = ", ".join(other)
        yield Check("differs" if other else "ok", "settings of sampling in params.yaml", detail)
    if found.samples and found.samples.own_code:
        same = own_code(params.experiment(found.run.experiment).sample).get("own_code")
        state: State = "ok" if same == found.samples.own_code else "differs"
        yield Check(state, "sampler of your own", ", ".join(found.samples.own_code))
    if found.config.own_code:
        edited = other_code(settings, found.config)
        yield Check("differs" if edited else "ok", "classes of your own", ", ".join(edited))


def _versions(found: Records) -> Iterator[Check]:
    now_training = training_version(found.config.settings)
    stages = {"training": (found.config.code.training, now_training)}
    if found.samples:
        stages["sampling"] = found.samples.version, versions.SAMPLING
    if found.protocol:
        stages["scoring"] = found.protocol.version, versions.SCORING
    for stage, (version, now) in stages.items():
        same = version == now
        detail = f"version {version}" + ("" if same else f", this program has {now}")
        yield Check("ok" if same else "differs", f"code of {stage}", detail)


def _data(params: Params, found: Records) -> Iterator[Check]:
    name, known = found.config.dataset, found.config.data_sha256
    folder = dataset_dir(name)
    if not (folder / "meta.json").exists():
        yield Check("missing", str(folder), f"recorded {known}")
        return
    try:
        data = dataset.load(name)
        yield _compared(str(folder), known, data.sha256)
        other = dataset.otherwise(data.meta, params.dataset(name))
        yield Check(
            "differs" if other else "ok", f"datasets.{name} of params.yaml", ", ".join(other)
        )
    except UserError as error:
        yield Check("differs", str(folder), str(error))


def _prepared(found: Records) -> Iterator[Check]:
    """What the training went by, of runs that have recorded it."""
    known = found.config.prepared_sha256
    if known is not None:
        yield _file(found.run.directory / PREPARED_FILE, "config.json", known)


def _samples(found: Records) -> Iterator[Check]:
    if found.samples is None:
        yield _later(found, "samples.npz", "sample", found.protocol is not None)
        return
    yield from _files(found, "samples.npz", found.samples.files, WEIGHTS)
    known = found.config.data_sha256
    yield _compared("data of samples.npz", found.samples.data_sha256, known)


def _scores(found: Records) -> Iterator[Check]:
    protocol = found.protocol
    if protocol is None:
        yield _later(found, "metrics.json", "score", False)
        return
    yield from _files(found, "protocol.json", protocol.files, [*SCORED, *SCORES])
    known = protocol.reference.sha256
    yield _compared("reference of protocol.json", known, found.config.data_sha256)
    if protocol.extractor:
        path = extractor_dir(protocol.extractor.name) / "weights.safetensors"
        yield _file(path, "protocol.json", protocol.extractor.sha256)


def _later(found: Records, name: str, stage: str, used: bool) -> Check:
    """A stage that was not run; if a later one has used its file, the file is gone."""
    path = str(found.run.directory / name)
    return Check("missing" if used else "not made yet", path, f"vct {stage} {found.run}")


def _files(
    found: Records, recorder: str, known: Mapping[str, str] | None, names: Iterable[str]
) -> Iterator[Check]:
    """The files `names`, which must be recorded, and those that are recorded beside them."""
    for name in dict.fromkeys([*names, *(known or {})]):
        yield _file(found.run.directory / name, recorder, (known or {}).get(name))


def _file(path: Path, recorder: str, known: str | None) -> Check:
    item = f"{path}, recorded in {recorder}"
    if known is None:
        return Check("not recorded", item)
    if not path.exists():
        return Check("missing", item, f"recorded {known}")
    return _compared(item, known, file_sha256(path))


def _compared(item: str, known: str, found: str) -> Check:
    if known == found:
        return Check("ok", item, found)
    return Check("differs", item, f'recorded "{known}", found {found}')
