"""Files that explain a suite: its diagnostics as a table and along t, and where couplings gain."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from vct.lab.errors import UserError
from vct.lab.files.layout import EXPLANATION_FILES, suite_dir
from vct.lab.files.whole import write_text
from vct.lab.report import diagnostics
from vct.lab.report.collect import ExperimentRows, collect, couplings
from vct.lab.report.diagnostics_figure import diagnostics_figure
from vct.lab.report.gains import gains, gains_figure
from vct.lab.report.table import to_csv
from vct.lab.runs import kept
from vct.lab.settings.params import Params


def asked_of(params: Params, suite: str) -> dict[str, dict[str, Any]]:
    """The section `diagnostics` of the experiments of a suite that are diagnosed."""
    sections = {name: params.experiment(name).diagnostics for name in params.suite(suite)}
    return {name: each.model_dump(mode="json") for name, each in sections.items() if each}


def read(
    params: Params, suite: str, rows: Sequence[ExperimentRows], finished: bool
) -> tuple[list[ExperimentRows], pd.DataFrame]:
    """The rows that were diagnosed, of the seeds that were, and what `diagnostics.read` found."""
    asked = asked_of(params, suite)
    mine = [row.of_seeds(asked[row.experiment]["seeds"]) for row in rows if row.experiment in asked]
    if finished:  # a run that was made again without its diagnosis keeps the one of before
        mine = [
            replace(row, places=kept.diagnosed(params, suite, row.places or {})) for row in mine
        ]
    return mine, diagnostics.read(mine, asked, finished)


def write(
    params: Params,
    name: str,
    rows: Sequence[ExperimentRows],
    steps: Mapping[str, int],
    dimensions: Mapping[str, int],
    primary: str,
    finished: bool,
) -> None:
    """Write EXPLANATION_FILES of the suite `name`.

    Args:
        rows: the experiments of the suite.
        steps: of the trainings, by experiment.
        dimensions: of data sets whose settings tell it; of others diagnostics do.
        primary: key of the samples by which gains are told.
        finished: of the runs that there are; else all must be there.

    Raises:
        UserError: if no run was diagnosed, or see `diagnostics.read`.
    """
    mine, found = read(params, name, rows, finished)
    if found.empty:
        asked = ", ".join(asked_of(params, name))
        raise UserError(
            f"no run of {asked} was diagnosed, so nothing is written; see: vct diagnose --help"
        )
    labels, summary = {each.experiment: each.couplings for each in mine}, diagnostics.tidy(found)
    table, lines, picture, gain = (suite_dir(name) / file for file in EXPLANATION_FILES)
    write_text(table, to_csv(summary))
    write_text(lines, diagnostics.markdown(found, labels))
    suite = couplings(rows)
    diagnostics_figure(picture, summary, labels, suite)
    seen = summary[summary["name"] == "data_dimension"].groupby("dataset")["mean"].first()
    of_data = {str(name): int(number) for name, number in seen.items()} | dict(dimensions)
    known = [each for each in rows if each.dataset in of_data]
    sizes = {each.experiment: (of_data[each.dataset], steps[each.experiment]) for each in known}
    collected = collect(known)
    every = {
        row: label for each in collected.experiments for row, label in collected.rows(each).items()
    }
    gains_figure(gain, gains(collected, primary, sizes), every, suite)
