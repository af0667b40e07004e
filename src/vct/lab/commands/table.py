"""`vct table SUITE`: one table over all runs of a suite."""

from vct.lab.files.layout import suite_dir
from vct.lab.report.collect import ExperimentRows, collect
from vct.lab.report.table import write_table
from vct.lab.settings.params import Params


def table(params: Params, name: str, finished: bool = False) -> None:
    """Write `table.csv`, `table.md` and `table.tex` of a suite.

    Args:
        finished: of the runs that there are; else all must be there.
    """
    rows = ExperimentRows.of_suite(params, name, finished)
    write_table(collect(rows), suite_dir(name), params.suite_settings(name))
