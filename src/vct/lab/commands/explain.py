"""`vct explain SUITE`: why its couplings score as they do, and where each of them gains."""

import math
from contextlib import suppress

from vct.lab.errors import UserError
from vct.lab.estimate.shapes import Unknown, without_data
from vct.lab.report import explanation
from vct.lab.report.collect import ExperimentRows
from vct.lab.settings.params import Params

FIRST = "steps1"
"""The samples by which gains are told where a suite declares no endpoint."""


def explain(params: Params, name: str, finished: bool = False) -> None:
    """Write the diagnostics of a suite: `diagnostics.csv`, `.md` and `.png`, and `gains.png`.

    Args:
        finished: of the runs that there are; else all must be there.
    """
    experiments = {each: params.experiment(each) for each in params.suite(name)}
    if not explanation.asked_of(params, name):
        raise UserError(
            f"suites.{name}: no experiment has the section diagnostics; add it to one, or see "
            f"results/{name}/table.md."
        )
    rows = ExperimentRows.of_suite(params, name, finished)
    steps = {each: one.train.steps for each, one in experiments.items()}
    dimensions = {}
    for one in experiments.values():
        with suppress(Unknown):  # until it is diagnosed
            dimensions[one.train.dataset] = math.prod(without_data(params, one.train).shape)
    primary = params.suite_settings(name).primary or FIRST
    explanation.write(params, name, rows, steps, dimensions, primary, finished)
