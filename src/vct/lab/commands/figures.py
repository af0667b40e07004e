"""`vct figures SUITE/EXPERIMENT`: samples and curves of all couplings side by side."""

import numpy as np

from vct.lab.data import dataset
from vct.lab.errors import UserError, quoted
from vct.lab.files.layout import suite_dir
from vct.lab.report.collect import ExperimentRows, couplings, held_out
from vct.lab.report.couplings_figure import CouplingPanel, Modes, Paths, couplings_figure
from vct.lab.report.curves import curves_figure, read_histories
from vct.lab.report.grids import MOST, GridPanel, sample_grids
from vct.lab.runs import samples
from vct.lab.runs.current import check_all
from vct.lab.settings.params import Params
from vct.lab.settings.train import TrainSettings


def figures(params: Params, name: str) -> None:
    """Write the figures of an experiment into a suite's folder.

    Samples are those of the first seed, with the same noise in the same place for all couplings.
    """
    suite, _, experiment_name = name.partition("/")
    if experiment_name not in params.suite(suite):
        raise UserError(f"{quoted(name)} is no SUITE/EXPERIMENT of params.yaml, as cpu/mixture is.")
    experiment = params.experiment(experiment_name)
    rows = ExperimentRows.of(experiment_name, experiment)
    check_all(params, rows.runs())
    data, histories = dataset.load(rows.dataset), read_histories(rows)
    floor = held_out(rows).scores.get(histories.metric)
    clouds, grids = [], []
    for run in rows.runs():
        if run.seed == rows.seeds[0]:
            label, (arrays, _) = rows.couplings[run.coupling], samples.read(run)
            if data.is_points:
                clouds.append(CouplingPanel.of(label, arrays))
            else:
                grids += GridPanel.column_of(label, arrays)
    path = suite_dir(suite) / f"{experiment_name}-samples.png"
    title = f"{experiment_name}, seed {rows.seeds[0]}"
    if data.is_points:
        modes = Modes.of(data.meta.modes, np.asarray(data.train.x))
        couplings_figure(path, clouds, modes, _paths(experiment.train), title)
    else:
        sample_grids(path, grids, np.asarray(data.train.x[:MOST]), title=title)
    every = [ExperimentRows.of(each, params.experiment(each)) for each in params.suite(suite)]
    path = path.with_name(f"{experiment_name}-curves.png")
    curves_figure(path, histories, rows, floor, couplings(every))


def _paths(train: TrainSettings) -> Paths:
    import torch  # images do without

    from vct.lab import build

    times = np.geomspace(0.01, train.t_max, 60)
    scale = build.kernel(train).data_scale(torch.from_numpy(times))
    return Paths(times, scale.numpy(), train.sigma_data)
