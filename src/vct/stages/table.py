"""`vct table SUITE`: one table over all runs of a suite."""

from vct.config import Params
from vct.layout import suite_dir
from vct.reporting.collect import ExperimentRows, collect
from vct.reporting.table import write_table


def run(params: Params, suite: str) -> None:
    """Write `table.csv`, `table.md` and `table.tex` of a suite."""
    frame = collect([rows(params, name) for name in params.suite(suite)])
    write_table(frame, suite_dir(suite))


def rows(params: Params, name: str) -> ExperimentRows:
    """The rows that an experiment gives to a table."""
    experiment = params.experiment(name)
    return ExperimentRows(
        experiment=name,
        dataset=experiment.train.dataset,
        kernel=experiment.train.kernel,
        objective=experiment.train.objective.kind,
        couplings=tuple(experiment.variants),
        seeds=tuple(experiment.seeds),
    )
