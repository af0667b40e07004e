"""`vct table SUITE`: one table over all runs of a suite."""

from vct.lab.errors import UserError
from vct.lab.files.layout import suite_dir
from vct.lab.processes.streams import say
from vct.lab.report.collect import ExperimentRows, collect
from vct.lab.report.table import write_table
from vct.lab.settings.params import Params


def table(params: Params, name: str, finished: bool = False) -> None:
    """Write `table.csv`, `table.md` and `table.tex` of a suite.

    Args:
        finished: of the runs that there are; else all must be there.
    """
    rows = ExperimentRows.of_suite(params, name, finished)
    every = sum(len(params.runs(experiment)) for experiment in params.suite(name))
    if absent := every - sum(len(each.places or {}) for each in rows):
        if absent == every:
            raise UserError(
                f"no run of suite {name} is finished, of the settings, data and code of now; make "
                f"them: snakemake --cores all --config suite={name}"
            )
        say(
            f"{name}: {absent} of {every} runs are left out: not made yet, or of other settings, "
            "data or code than now"
        )
    write_table(collect(rows), suite_dir(name), params.suite_settings(name))
