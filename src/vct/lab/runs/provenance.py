"""Whether the files of a run belong together.

Each stage records the SHA-256 of what it read and wrote: `config.json` those of the weights,
`samples.npz` those of the weights it was drawn from, `protocol.json` those of the samples and the
scores. A stage refuses what does not fit; `vct.lab.runs.audit` compares everything.
"""

from collections.abc import Iterable, Mapping, Sized

from vct.lab import records, versions
from vct.lab.data import dataset
from vct.lab.data.dataset import Dataset
from vct.lab.errors import UserError, quoted
from vct.lab.files.differences import differences
from vct.lab.files.layout import AVERAGES_FILE, PRIOR_FILE, RunId, dataset_dir
from vct.lab.files.whole import damaged, hashes
from vct.lab.records import ProtocolRecord, RunRecord, SampleRecord
from vct.lab.settings.own_code import own_code
from vct.lab.settings.params import Params
from vct.lab.settings.run import RunSettings, run_settings, settings_sha256
from vct.lab.settings.sample import SampleSettings

WEIGHTS = ("model.safetensors", "snapshots.safetensors")
"""What all samples are drawn from."""
SCORED = ("config.json", "samples.npz")
SCORES = ("metrics.json", "trajectory.csv")
"""What scoring reads and what it writes: protocol.json holds the hashes of both."""


def read_run(run: RunId) -> RunRecord:
    """config.json of a run.

    Raises:
        UserError: if it is missing, damaged or of another run.
    """
    path = run.directory / "config.json"
    record = records.read(RunRecord, path)
    if record.run != str(run):
        raise damaged(path, f"it is of the run {quoted(record.run)}, not {run}")
    if settings_sha256(record.settings) != record.settings_sha256:
        raise damaged(path, "its settings are not those that were hashed")
    return record


def checked_run(params: Params, run: RunId) -> tuple[RunSettings, RunRecord]:
    """Settings of a run and its config.json, which must agree.

    Raises:
        UserError: if config.json is damaged or of another run, if the run was trained with other
            settings than params.yaml holds now, or if a user's class was edited since.
    """
    settings, record = run_settings(params, run), read_run(run)
    if record.settings_sha256 != settings.sha256():
        found = differences(record.settings, settings.model_dump(mode="json"))
        raise UserError(
            f"{run.directory} was trained with other settings ({', '.join(found)}); train it "
            f"again: vct train {run}"
        )
    if other := other_code(settings, record):
        raise UserError(
            f"{run.directory} was trained with other code of {', '.join(other)}; train it again: "
            f"vct train {run} --fresh"
        )
    return settings, record


def other_code(settings: RunSettings, record: RunRecord) -> list[str]:
    """The user's classes that are not what they were when the run was trained."""
    now, then = own_code(settings).get("own_code", {}), record.own_code or {}
    return [name for name in now if now[name] != then.get(name)]


def checked_data(params: Params, run: RunId, record: RunRecord) -> Dataset:
    """The data set that a run was trained on.

    Raises:
        UserError: if it is not there, or is another now, or another than params.yaml describes.
    """
    data = dataset.described(params, record.dataset)
    if data.sha256 != record.data_sha256:
        raise UserError(
            f"{run.directory} was trained on other data than {dataset_dir(data.name)} holds; train "
            f"it again: vct train {run}"
        )
    return data


def checked_weights(run: RunId, sample: SampleSettings, record: RunRecord) -> dict[str, str]:
    """Hashes of the weights that samples are drawn from, which must be those of config.json.

    Raises:
        UserError: if a file differs or is missing.
    """
    names = (*WEIGHTS, *(() if sample.ema_width is None else (AVERAGES_FILE,)))
    found = hashes(run.directory, names)
    known = found | (record.files or {})
    _refuse_others(run, "config.json", known, found, f"train again: vct train {run}")
    return found


def sample_record(
    sample: SampleSettings, trained: RunRecord, weights: dict[str, str], priors: list[str]
) -> SampleRecord:
    """What samples are drawn with and from.

    Args:
        weights: their hashes before sampling began; a training may end meanwhile.
        priors: what they start from.
    """
    return SampleRecord(
        version=versions.SAMPLING,
        settings=sample.model_dump(mode="json"),
        data_sha256=trained.data_sha256,
        files=weights,
        priors=None if priors == ["standard"] else priors,
        own_code=own_code(sample).get("own_code"),
    )


def check_samples(
    run: RunId, drawn: SampleRecord, sample: SampleSettings, trained: RunRecord
) -> None:
    """Refuse samples that were not drawn as `sample` says from the weights of config.json.

    Raises:
        UserError: naming what differs.
    """
    prior = [PRIOR_FILE] if PRIOR_FILE in drawn.files else []
    weights = drawn.files | (trained.files or {}) | hashes(run.directory, prior)
    if drawn.version != versions.SAMPLING:
        why = f"by version {drawn.version} of the sampler, not {versions.SAMPLING}"
    elif drawn.settings != sample.model_dump(mode="json"):
        why = "with other settings than params.yaml holds"
    elif drawn.own_code != own_code(sample).get("own_code"):
        why = "with other code of your sampler"
    elif drawn.data_sha256 != trained.data_sha256 or drawn.files.items() - weights.items():
        why = "from other weights or data than config.json beside it records"
    else:
        return
    path = run.directory / "samples.npz"
    raise UserError(f"{path} was drawn {why}, so it is not used; draw again: vct sample {run}")


def check_keys(run: RunId, found: Mapping[str, Sized], keys: Iterable[str], count: int) -> None:
    """Refuse samples that are not those of the sampler's schedules, `count` of each.

    Raises:
        UserError: naming both.
    """
    path, remedy = run.directory / "samples.npz", f"draw again: vct sample {run}"
    if set(found) != set(keys):
        raise UserError(
            f"{path} holds {quoted(', '.join(found))}, not the sampler's "
            f"{quoted(', '.join(keys))}; {remedy}"
        )
    if other := {key: len(part) for key, part in found.items() if len(part) != count}:
        raise UserError(f"{path} holds {other} samples, not {count} of each; {remedy}")


def checked_scores(run: RunId, names: Iterable[str]) -> tuple[RunRecord, ProtocolRecord]:
    """config.json and protocol.json of a scored run, whose files `names` must be those scored.

    Raises:
        UserError: if a file is missing, damaged or another.
    """
    record = read_run(run)
    protocol = records.read(ProtocolRecord, run.directory / "protocol.json")
    found = hashes(run.directory, names)
    _refuse_others(run, "protocol.json", protocol.files, found, f"score again: vct score {run}")
    return record, protocol


def check_history(run: RunId, record: RunRecord) -> None:
    """Refuse a training.csv that is not the one that was recorded with the weights.

    Raises:
        UserError: if it differs or is missing.
    """
    found = hashes(run.directory, ["training.csv"])
    _refuse_others(run, "config.json", record.files, found, f"train again: vct train {run}")


def _refuse_others(
    run: RunId,
    recorder: str,
    known: Mapping[str, str] | None,
    found: Mapping[str, str],
    remedy: str,
) -> None:
    for name, sha256 in found.items():
        if (known or {}).get(name) != sha256:
            raise UserError(
                f"{run.directory / name} is not the file that {recorder} beside it records; "
                f"restore it ('vct show {run}' compares all files of the run), or {remedy}"
            )
