"""`vct explain SUITE`: why its couplings score as they do, and where each of them gains."""

from vct.lab.errors import UserError
from vct.lab.files.layout import EXPLANATION_FILES, suite_dir
from vct.lab.files.whole import write_text
from vct.lab.report import diagnostics
from vct.lab.report.collect import ExperimentRows, collect
from vct.lab.report.diagnostics_figure import diagnostics_figure
from vct.lab.report.gains import gains, gains_figure
from vct.lab.report.table import to_csv
from vct.lab.settings.params import Params
from vct.lab.workflow import graph

FIRST = "steps1"
"""The samples by which gains are told where a suite declares no endpoint."""


def explain(params: Params, name: str, finished: bool = False) -> None:
    """Write the diagnostics of a suite: `diagnostics.csv`, `.md` and `.png`, and `gains.png`.

    Args:
        finished: of the runs that there are; else all must be there.
    """
    if not graph.diagnosed(params, name):
        raise UserError(
            f"suites.{name}: no experiment has the section diagnostics; add it to one, or see "
            f"results/{name}/table.md."
        )
    table, lines, picture, gain = (suite_dir(name) / file for file in EXPLANATION_FILES)
    rows = ExperimentRows.of_suite(params, name, finished)
    mine = [
        each.of_seeds(settings.seeds)
        for each in rows
        if (settings := params.experiment(each.experiment).diagnostics)
    ]
    labels = {each.experiment: each.couplings for each in mine}
    found = diagnostics.read(mine, finished)
    summary = diagnostics.tidy(found)
    write_text(table, to_csv(summary))
    write_text(lines, diagnostics.markdown(found, labels))
    diagnostics_figure(picture, summary, labels)
    dimensions = summary[summary["name"] == "data_dimension"].groupby("dataset")["mean"].first()
    known = [each for each in rows if each.dataset in dimensions]
    steps = {each: params.experiment(each).train.steps for each in params.suite(name)}
    sizes = {each.experiment: (dimensions[each.dataset], steps[each.experiment]) for each in known}
    collected = collect(known)
    every = {
        row: label for each in collected.experiments for row, label in collected.rows(each).items()
    }
    primary = params.suite_settings(name).primary or FIRST
    gains_figure(gain, gains(collected, primary, sizes), every)
