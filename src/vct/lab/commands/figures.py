"""`vct figures SUITE/EXPERIMENT`: samples and curves of all couplings side by side."""

from pathlib import Path

import numpy as np

from vct.lab import build
from vct.lab.commands.table import rows
from vct.lab.data import dataset
from vct.lab.data.dataset import Dataset
from vct.lab.errors import UserError, quoted
from vct.lab.files.layout import RunId, suite_dir
from vct.lab.files.whole import file_sha256, read_object
from vct.lab.report import names
from vct.lab.report.collect import read_floor
from vct.lab.report.couplings_figure import CouplingPanel, couplings_figure
from vct.lab.report.curves import curves_figure
from vct.lab.report.grids import GridPanel, sample_grids
from vct.lab.report.histories import read_histories
from vct.lab.runs.results import read_record, read_samples, scored
from vct.lab.settings.experiment import ExperimentSettings
from vct.lab.settings.params import Params


def figures(params: Params, name: str) -> None:
    """Write the figures of an experiment into a suite's folder.

    Samples are those of the first seed.
    """
    suite, _, experiment_name = name.partition("/")
    if experiment_name not in params.suite(suite):
        raise UserError(
            f"{quoted(name)} is no SUITE/EXPERIMENT of params.yaml; for example cpu/mixture."
        )
    experiment = params.experiment(experiment_name)
    data = dataset.load(experiment.train.dataset)
    folder = suite_dir(suite)
    runs = [RunId(experiment_name, name, experiment.seeds[0]) for name in experiment.variants]
    path = folder / f"{experiment_name}-samples.png"
    if data.is_points:
        _couplings(path, runs, experiment, data)
    else:
        _grids(path, runs, data)
    for run_id in params.runs(experiment_name):
        _check_histories(run_id)
    histories = read_histories(rows(params, experiment_name))
    denoises = experiment.train.objective.trains == "denoiser"
    floor = read_floor(experiment_name).scores.get(histories.metric)
    curves_figure(
        folder / f"{experiment_name}-curves.png",
        histories,
        floor,
        title=experiment_name,
        couplings=experiment.variants,
        loss="denoising error" if denoises else "consistency loss",
        sampling="1 step" if experiment.sample.sampler is None else "Heun",
    )


def _check_histories(run_id: RunId) -> None:
    """Refuse curves that are not those that were recorded with the weights and the scores."""
    protocol = read_object(run_id.directory / "protocol.json")
    for name, record in (("training.csv", read_record(run_id)), ("trajectory.csv", protocol)):
        path, files = run_id.directory / name, record.get("files")
        known = files.get(name) if isinstance(files, dict) else None
        if not path.is_file() or file_sha256(path) != known:
            raise UserError(
                f"{path} is missing, or not what was recorded; 'vct show {run_id}' compares "
                "all files of the run with their records."
            )


def _called(experiment: ExperimentSettings) -> str:
    """What the samples of points are called beside their axis."""
    sampler = experiment.sample.sampler
    if sampler is None:
        return "one-step samples\n$f(T z, T)$"
    return (
        "samples\n("
        + names.heading(
            next(iter(build.sampler(experiment.sample, experiment.train.t_max).schedules))
        )
        + ")"
    )


def _couplings(
    path: Path, runs: list[RunId], experiment: ExperimentSettings, data: Dataset
) -> None:
    panels = []
    for run_id in runs:
        arrays = read_samples(run_id, data)
        first = next(iter(scored(arrays)))
        points = [arrays[key].reshape(-1, 2) for key in ("pair_x", "pair_z", "noise", first)]
        panels.append(CouplingPanel(run_id.coupling, *points))
    train, modes = experiment.train, data.meta.modes
    assert modes is not None  # without them there were no scores
    couplings_figure(
        path,
        panels,
        modes.means,
        modes.std,
        kernel=train.kernel.member,
        t_max=train.t_max,
        sigma_data=train.sigma_data,
        samples=_called(experiment),
        title=f"{runs[0].experiment}, seed {runs[0].seed}",
    )


def _grids(path: Path, runs: list[RunId], data: Dataset) -> None:
    """The same noise in the same cell for all couplings: sampling does not depend on them."""
    panels = []
    for run_id in runs:
        for key, images in scored(read_samples(run_id, data)).items():
            panels.append(GridPanel(run_id.coupling, names.heading(key), images))
    title = f"{runs[0].experiment}, seed {runs[0].seed}"
    sample_grids(path, panels, np.asarray(data.train.x[:256]), title=title)
