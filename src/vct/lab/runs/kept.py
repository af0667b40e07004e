"""Small files of finished runs, kept in git: what was measured outlives the machine.

`results/SUITE/runs/` holds records, scores and curves of each run, without weights and samples.
Tables, tests and curves are made of them where the run itself is not there, and the engine does not
train such a run again (Snakemake; DVC makes all). To reproduce them all, remove the folder.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vct.lab import records, versions
from vct.lab.errors import UserError
from vct.lab.files.layout import (
    DIAGNOSTICS_FILE,
    KEPT_FILES,
    RunId,
    dataset_dir,
    extractor_dir,
    floor_file,
    kept_dir,
)
from vct.lab.files.whole import atomic
from vct.lab.records import DatasetRecord, KeptExtractorRecord, ProtocolRecord, RunRecord
from vct.lab.runs import samples
from vct.lab.runs.provenance import checked_run, checked_scores, other_code, read_run
from vct.lab.settings.experiment import ExperimentSettings
from vct.lab.settings.own_code import own_code
from vct.lab.settings.params import Params
from vct.lab.settings.run import run_settings

KEPT_EXTRACTOR = "kept.json"
"""What an extractor beside the kept runs was made of."""


def keep(params: Params, suite: str) -> tuple[int, int]:
    """Copy the small files of all finished runs of a suite; return how many are kept of how many.

    Raises:
        UserError: if files of a run do not belong together.
    """
    every = [run for name in params.suite(suite) for run in params.runs(name)]
    for run in every:
        if (run.directory / "protocol.json").exists() and is_current(params, run):
            checked_scores(run, ("config.json", "metrics.json", "trajectory.csv"))
            target = run.kept(suite).directory
            (target / DIAGNOSTICS_FILE).unlink(missing_ok=True)  # of what stood there before
            diagnosed = (run.directory / DIAGNOSTICS_FILE).exists()
            names = (*KEPT_FILES, DIAGNOSTICS_FILE) if diagnosed else KEPT_FILES
            _copy(run.directory, target, names)
    for name in params.suite(suite):
        floor = floor_file(name)
        if floor.exists():
            _copy(floor.parent, floor_file(name, suite).parent, [floor.name])
    _keep_data(params, suite)
    return len(kept(params, suite)), len(every)


def kept(params: Params, suite: str) -> set[RunId]:
    """The runs of a suite that are kept, and are what params.yaml and this program would make."""
    every = (run for name in params.suite(suite) for run in params.runs(name))
    return {run for run in every if is_current(params, run.kept(suite))}


def places(params: Params, suite: str, experiment: str, finished: bool) -> dict[RunId, RunId]:
    """Where the scores of each run are: in its own folder, or kept.

    Args:
        finished: leave out those that are nowhere.
    """
    found = {}
    for run in params.runs(experiment):
        here = run.kept(suite)
        if (run.directory / "protocol.json").exists():
            found[run] = run
        elif is_current(params, here):
            found[run] = here
        elif not finished:
            found[run] = run
    return found


def floor(suite: str, experiment: str) -> Path:
    """Where the scores of held-out data are."""
    here, there = floor_file(experiment), floor_file(experiment, suite)
    return there if there.exists() and not here.exists() else here


def to_make(params: Params, suite: str, experiment: str) -> list[RunId]:
    """The runs of an experiment that are not kept alone."""
    found = places(params, suite, experiment, finished=False)
    return [run for run, place in found.items() if place == run]


def tabled(params: Params, suite: str, experiment: str, finished: bool) -> dict[RunId, RunId]:
    """Where the scores that a table shows are: those of `places` that are of the settings, data and
    versions of now.

    Args:
        finished: leave out all others.

    Raises:
        UserError: if a run here is of others and is not left out; if its files are damaged.
    """
    found = {}
    for run, place in places(params, suite, experiment, finished).items():
        scored = place == run and (run.directory / "protocol.json").exists()
        if scored and not _is_current(params, run):
            if not finished:
                checked_run(params, run)  # says which settings of the training differ
                raise UserError(
                    f"{run.directory} was trained, sampled or scored with other settings, data or "
                    f"code than there are now; make it again (vct score {run}, where that refuses "
                    f"its samples, vct sample {run}, and vct train {run}), or leave such runs out "
                    "with --finished."
                )
            place = run.kept(suite)
            if not is_current(params, place):
                continue
        found[run] = place
    return found


def is_current(params: Params, run: RunId) -> bool:
    """Whether the files in a folder are there, and of the settings, data and versions of now."""
    try:
        return _is_current(params, run)
    except UserError:
        return False


def _is_current(params: Params, run: RunId) -> bool:
    record = read_run(run)
    protocol = records.read(ProtocolRecord, run.directory / "protocol.json")
    settings = run_settings(params, RunId(run.experiment, run.coupling, run.seed))
    now = settings.training_version, versions.SAMPLING, versions.SCORING
    then = record.code.training, protocol.sampling_version, protocol.version
    declared = _declared(params.experiment(run.experiment))
    return (
        record.settings_sha256 == settings.sha256()
        and now == then
        and declared == {key: protocol.content().get(key) for key in declared}
        and _same_judge(params, run, protocol)
        and _same_data(params, run, record)
        and not other_code(settings, record)
    )


def _declared(experiment: ExperimentSettings) -> dict[str, Any]:
    """What params.yaml says of a protocol."""
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


def _same_judge(params: Params, run: RunId, protocol: ProtocolRecord) -> bool:
    """Whether a protocol has the metric and the extractor of now. Of one that was trained, settings
    are known where it is kept beside the runs."""
    score, judge = params.experiment(run.experiment).score, protocol.extractor
    numbers = {metric.partition("_")[0] for metric in protocol.metrics}
    if score.numbers is not None and numbers != score.numbers:
        return False
    if judge is None or score.extractor is None:
        return (judge and judge.name) == score.extractor
    settings = params.extractor(score.extractor)
    if (judge.name, judge.kind) != (score.extractor, settings.member):
        return False
    path = run.root / extractor_dir(judge.name).relative_to("results") / KEPT_EXTRACTOR
    if not path.is_file():
        return True
    kept_judge = records.read(KeptExtractorRecord, path)
    same = kept_judge.files["weights.safetensors"] == judge.sha256
    return not same or kept_judge.settings == settings.model_dump(mode="json")


def _same_data(params: Params, run: RunId, record: RunRecord) -> bool:
    """Whether a run was trained on the data that params.yaml describes, as far as one can know
    without making them: from what is kept beside the runs, or from the data that are here."""
    beside = run.root / dataset_dir(record.dataset) / "meta.json"
    here = dataset_dir(record.dataset) / "meta.json"
    wanted = params.dataset(record.dataset).model_dump(mode="json")
    found = [records.read(DatasetRecord, path) for path in (beside, here) if path.is_file()]
    same = [meta.sha256 for meta in found if meta.source == wanted]
    if same:
        return record.data_sha256 in same
    return record.data_sha256 not in [meta.sha256 for meta in found]


def _keep_data(params: Params, suite: str) -> None:
    """Keep what is said of the data of the kept runs, where they are here."""
    for run in kept(params, suite):
        record = read_run(run.kept(suite))
        source, target = dataset_dir(record.dataset), kept_dir(suite) / dataset_dir(record.dataset)
        if (source / "meta.json").is_file() and not target.exists():
            meta = records.read(DatasetRecord, source / "meta.json")
            if meta.sha256 == record.data_sha256:
                _copy(source, target, ["meta.json"])


def _copy(source: Path, target: Path, names: Iterable[str]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        with atomic(target / name) as temporary:
            shutil.copyfile(source / name, temporary)
