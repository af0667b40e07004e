"""`vct table SUITE`: one table over all runs of a suite."""

from vct.lab.files.layout import suite_dir
from vct.lab.report.collect import ExperimentRows, collect
from vct.lab.report.table import write_table
from vct.lab.settings.params import Params


def table(params: Params, name: str) -> None:
    """Write `table.csv`, `table.md` and `table.tex` of a suite."""
    rows = [ExperimentRows.of(each, params.experiment(each)) for each in params.suite(name)]
    write_table(collect(rows), suite_dir(name))
