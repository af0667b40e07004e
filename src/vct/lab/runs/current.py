"""Whether a finished run is what params.yaml and this program would make now.

A table calls runs by the settings of now, so it shows no others. What made them is in the records
beside them; what a kept run was trained on and judged by stands beside the kept runs as well.
"""

from collections.abc import Iterable
from typing import Any

from vct.lab import records, versions
from vct.lab.data import dataset
from vct.lab.errors import UserError
from vct.lab.files.layout import RunId, dataset_dir, extractor_dir
from vct.lab.files.whole import file_sha256
from vct.lab.records import DatasetRecord, KeptExtractorRecord, ProtocolRecord, RunRecord
from vct.lab.runs import samples
from vct.lab.runs.provenance import check_samples, checked_run, other_code, read_run
from vct.lab.settings.experiment import ExperimentSettings
from vct.lab.settings.own_code import own_code
from vct.lab.settings.own_options import of_extractor, own_options
from vct.lab.settings.params import Params
from vct.lab.settings.run import run_settings

KEPT_EXTRACTOR = "kept.json"
"""What an extractor beside the kept runs was made of."""


def is_current(params: Params, run: RunId) -> bool:
    """Whether the files in a folder are there, and of the settings, data and versions of now."""
    try:
        return _other(params, run) is None
    except UserError:
        return False


def check(params: Params, run: RunId) -> None:
    """Refuse a finished run here that is not of the settings, data, code and versions of now.

    Raises:
        UserError: with what is otherwise, and the stages to run; if its files are damaged.
    """
    checked_run(params, run)
    if other := _other(params, run):
        why, stages = other
        again = "; ".join(f"vct {stage} {name}" for stage, name in stages)
        raise UserError(f"{run.directory} was {why}; make it again: {again}")


def check_all(params: Params, runs: Iterable[RunId]) -> None:
    """Refuse the first of these finished runs that is not of now; see `check`."""
    for run in runs:
        check(params, run)


Other = tuple[str, list[tuple[str, str]]]
"""What is otherwise, and the stages that mend it with their names."""


def _other(params: Params, run: RunId) -> Other | None:
    """What is otherwise; None where all is as it would be made now.

    Raises:
        UserError: if files are missing or damaged, or its samples were drawn otherwise.
    """
    record = read_run(run)
    protocol = records.read(ProtocolRecord, run.directory / "protocol.json")
    settings = run_settings(params, RunId(run.experiment, run.coupling, run.seed))
    experiment, name = params.experiment(run.experiment), str(run)
    scored = [("score", name)]
    sampled = [("sample", name), *scored]
    trained = [("train", name), *sampled]
    if record.settings_sha256 != settings.sha256() or other_code(settings, record):
        return "trained with other settings or code", trained
    if record.code.training != settings.training_version:
        return f"trained by version {record.code.training} of the training", trained
    if not _same_data(params, run, record):
        return "trained on other data than params.yaml describes", [
            ("data", record.dataset),
            *trained,
        ]
    wanted = declared(experiment)
    found = {key: protocol.content().get(key) for key in wanted}
    if protocol.sampling_version != versions.SAMPLING or found != wanted:
        return "sampled with other settings or by another version of sampling", sampled
    if drawn := samples.read_record(run):  # which says more, where it is still there
        check_samples(run, drawn, experiment.sample, record)
    if protocol.version != versions.SCORING or not _same_score(experiment, protocol):
        return "scored with another metric or by another version of scoring", scored
    if not _same_judge(params, run, protocol):
        return "scored by another extractor", [
            ("extractor", str(experiment.score.extractor)),
            *scored,
        ]
    return None


def declared(experiment: ExperimentSettings) -> dict[str, Any]:
    """What the protocol of an experiment says of its samples, as JSON holds it."""
    sample = experiment.sample
    return {
        "num_samples": sample.num_samples,
        "schedules": samples.schedules(sample, experiment.train.t_max),
        "ema": experiment.train.ema.described(sample.ema_width),
        "sample_seed": sample.seed,
        "noise": sample.noise,
        "classes": None if sample.classes == "in_turn" else sample.classes,
        "pool": experiment.pool,
        "priors": None if sample.priors == ["standard"] else list(sample.priors),
        "own_code": own_code(sample).get("own_code"),
    }


def _same_score(experiment: ExperimentSettings, protocol: ProtocolRecord) -> bool:
    """Whether a protocol is of the metric of now, and of a user's classes as they are now."""
    score, extras = experiment.score, protocol.extras or {}
    own = own_options(experiment)
    if any(extras.get(name) != options for name, options in own.items()):
        return False
    return score.numbers in (None, {metric.partition("_")[0] for metric in protocol.metrics})


def _same_judge(params: Params, run: RunId, protocol: ProtocolRecord) -> bool:
    """Whether a protocol has the extractor of now. Of one that was trained, settings are known
    where it is kept beside the runs; here, its weights must be those that are here."""
    name, judge = params.experiment(run.experiment).score.extractor, protocol.extractor
    if judge is None or name is None:
        return (judge and judge.name) == name
    settings = params.extractor(name)
    code = own_code(settings).get("own_code")
    wanted = name, settings.member, code, of_extractor(settings)
    if (judge.name, judge.kind, judge.own_code, judge.options) != wanted:
        return False
    folder = run.root / extractor_dir(name).relative_to("results")
    if (folder / KEPT_EXTRACTOR).is_file():
        kept = records.read(KeptExtractorRecord, folder / KEPT_EXTRACTOR)
        same = kept.files["weights.safetensors"] == judge.sha256
        return same and kept.settings == settings.model_dump(mode="json")
    weights = folder / "weights.safetensors"
    return not weights.is_file() or file_sha256(weights) == judge.sha256


def _same_data(params: Params, run: RunId, record: RunRecord) -> bool:
    """Whether a run was trained on the data that params.yaml describes, as far as one can know
    without making them: from what is kept beside the runs, or from the data that are here."""
    wanted = params.dataset(record.dataset)
    here = dataset_dir(record.dataset) / "meta.json"
    beside = run.root / dataset_dir(record.dataset) / "meta.json"
    found = [records.read(DatasetRecord, path) for path in (here, beside) if path.is_file()]
    same = [meta for meta in found if not dataset.otherwise(meta, wanted)]
    if not same:
        return record.data_sha256 not in [meta.sha256 for meta in found]
    # Whole numbers come out alike on every processor: those that are here decide.
    known = same[:1] if same[0].dtype == "uint8" else same
    return record.data_sha256 in [meta.sha256 for meta in known]
