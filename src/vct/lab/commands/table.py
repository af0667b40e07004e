"""`vct table SUITE`: one table over all runs of a suite."""

from vct.lab.files.layout import suite_dir
from vct.lab.report.collect import ExperimentRows, collect
from vct.lab.report.table import write_table
from vct.lab.settings.params import Params


def table(params: Params, name: str) -> None:
    """Write `table.csv`, `table.md` and `table.tex` of a suite."""
    frame = collect([rows(params, each) for each in params.suite(name)])
    write_table(frame, suite_dir(name))


def rows(params: Params, name: str) -> ExperimentRows:
    """The rows that an experiment gives to a table."""
    experiment = params.experiment(name)
    return ExperimentRows(
        experiment=name,
        dataset=experiment.train.dataset,
        kernel=experiment.train.kernel.member,
        objective=experiment.train.objective.member,
        couplings=tuple(experiment.variants),
        seeds=tuple(experiment.seeds),
    )
