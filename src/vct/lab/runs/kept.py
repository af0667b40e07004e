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
from vct.lab.files.layout import DIAGNOSTICS_FILE, KEPT_FILES, RunId, floor_file
from vct.lab.files.whole import atomic
from vct.lab.records import ProtocolRecord
from vct.lab.runs import samples
from vct.lab.runs.provenance import checked_scores, other_code, read_run
from vct.lab.settings.experiment import ExperimentSettings
from vct.lab.settings.params import Params
from vct.lab.settings.run import run_settings


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


def is_current(params: Params, run: RunId) -> bool:
    """Whether the files in a folder are of the settings and versions of now."""
    try:
        record = read_run(run)
        protocol = records.read(ProtocolRecord, run.directory / "protocol.json")
        settings = run_settings(params, RunId(run.experiment, run.coupling, run.seed))
    except UserError:
        return False
    now = settings.training_version, versions.SAMPLING, versions.SCORING
    then = record.code.training, protocol.sampling_version, protocol.version
    declared = _declared(params.experiment(run.experiment))
    return (
        record.settings_sha256 == settings.sha256()
        and now == then
        and declared == {key: protocol.content().get(key) for key in declared}
        and (protocol.extractor and protocol.extractor.name)
        == params.experiment(run.experiment).score.extractor
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
        "pool": experiment.pool,
        "priors": None if sample.priors == ["standard"] else list(sample.priors),
    }


def _copy(source: Path, target: Path, names: Iterable[str]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        with atomic(target / name) as temporary:
            shutil.copyfile(source / name, temporary)
