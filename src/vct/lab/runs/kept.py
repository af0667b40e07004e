"""Small files of finished runs, kept in git: what was measured outlives the machine.

`results/SUITE/runs/` holds records, scores and curves of each run, without weights and samples.
Tables, tests and curves are made of them where the run itself is not there, and the engine does not
train such a run again (Snakemake; DVC makes all). To reproduce them all, remove the folder.
"""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from vct.lab import records
from vct.lab.files.layout import (
    DIAGNOSTICS_FILE,
    KEPT_FILES,
    RunId,
    dataset_dir,
    floor_file,
    kept_dir,
)
from vct.lab.files.whole import atomic
from vct.lab.records import DatasetRecord, DiagnosticsRecord, FloorRecord, ProtocolRecord
from vct.lab.runs.current import check, is_current
from vct.lab.runs.provenance import checked_scores, read_run
from vct.lab.settings.own_options import of_metric
from vct.lab.settings.params import Params


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
            diagnosed = (run.directory / DIAGNOSTICS_FILE).exists()
            if not diagnosed:
                _remove_diagnosis_of_others(target / DIAGNOSTICS_FILE, run)
            names = (*KEPT_FILES, DIAGNOSTICS_FILE) if diagnosed else KEPT_FILES
            _copy(run.directory, target, names)
    _keep_data(params, suite)
    for name in params.suite(suite):
        _keep_floor(params, suite, name)
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


def floor(suite: str, experiment: str, runs: Iterable[RunId] = ()) -> Path:
    """Where the scores of held-out data are that belong to these runs."""
    here, there = floor_file(experiment), floor_file(experiment, suite)
    if here.exists() and there.exists():
        some_kept = next((run for run in runs if run.root == kept_dir(suite)), None)
        return there if some_kept and not _belongs(here, some_kept) else here
    return there if there.exists() else here


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
        if scored and not finished:
            check(params, run)
        elif scored and not _whole_and_current(params, run):
            place = run.kept(suite)
            if not is_current(params, place):
                continue
        found[run] = place
    return found


def diagnosed(params: Params, suite: str, found: Mapping[RunId, RunId]) -> dict[RunId, RunId]:
    """The same places, but of runs here without a diagnosis those where git keeps one of now."""

    def place(run: RunId, here: RunId) -> RunId:
        there = run.kept(suite)
        lacks = not (here.directory / DIAGNOSTICS_FILE).exists()
        known = lacks and (there.directory / DIAGNOSTICS_FILE).exists()
        return there if known and is_current(params, there) else here

    return {run: place(run, here) for run, here in found.items()}


def _whole_and_current(params: Params, run: RunId) -> bool:
    """Whether a run here is of now; its training may be under way again.

    Raises:
        UserError: if its files are damaged.
    """
    if not (run.directory / "config.json").exists():
        return False
    read_run(run)
    return is_current(params, run)


def _remove_diagnosis_of_others(kept: Path, run: RunId) -> None:
    """Remove a kept diagnosis unless it is of the samples of this run."""
    if kept.exists():
        protocol = records.read(ProtocolRecord, run.directory / "protocol.json")
        if not records.read(DiagnosticsRecord, kept).is_of(protocol):
            kept.unlink()


def _keep_data(params: Params, suite: str) -> None:
    """Keep what is said of the data of the kept runs, where they are here."""
    for run in kept(params, suite):
        record = read_run(run.kept(suite))
        folder = dataset_dir(record.dataset)
        if (folder / "meta.json").is_file():
            meta = records.read(DatasetRecord, folder / "meta.json")
            if meta.sha256 == record.data_sha256:
                _copy(folder, kept_dir(suite) / folder, ["meta.json"])


def _keep_floor(params: Params, suite: str, experiment: str) -> None:
    """Keep the scores of held-out data that belong to the kept runs."""
    here = floor_file(experiment)
    some = next(
        (run for run in params.runs(experiment) if is_current(params, run.kept(suite))), None
    )
    if here.exists() and some and _belongs(here, some.kept(suite)):
        _copy(here.parent, floor_file(experiment, suite).parent, [here.name])


def _belongs(floor: Path, run: RunId) -> bool:
    """Whether scores of held-out data have the extractor, reference and metric of a run."""
    known = records.read(FloorRecord, floor)
    protocol = records.read(ProtocolRecord, run.directory / "protocol.json")
    keys = {"extractor", "reference", "version"} & known.model_fields_set
    same = all(getattr(known, key) == getattr(protocol, key) for key in keys)
    return same and of_metric(known.extras) == of_metric(protocol.extras)


def _copy(source: Path, target: Path, names: Iterable[str]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        with atomic(target / name) as temporary:
            shutil.copyfile(source / name, temporary)
