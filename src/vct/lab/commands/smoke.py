"""`vct smoke SUITE`: every run of a suite for a few steps, from data to table, on this CPU.

It is done in the folder smoke/<suite>, with settings of its own, by the project's Snakefile: the
project's data, results and records are not touched.
"""

import sys
from pathlib import Path

from vct.lab.errors import UserError
from vct.lab.files.layout import suite_dir
from vct.lab.settings.params import Params
from vct.lab.workflow.smoke import STAND_IN, reduced_suite, smoke_name
from vct.lab.workflow.trial import become_snakemake, lay_out


def smoke(params: Params, name: str, steps: int, cores: int | None) -> None:
    """Lay out smoke/<suite> and become the Snakemake that runs there.

    Raises:
        UserError: if there is no such suite, or the numbers are out of range.
    """
    if steps < 1 or (cores is not None and cores < 1):
        raise UserError("--steps and --cores take a whole number from 1.")
    reduced = reduced_suite(params, name, steps)
    folder = Path("smoke") / name
    lay_out(folder, reduced)
    print(_notice(reduced, smoke_name(name), steps, folder), file=sys.stderr, flush=True)
    become_snakemake(folder, smoke_name(name), cores)


def _notice(reduced: Params, suite: str, steps: int, folder: Path) -> str:
    runs = sum(len(reduced.runs(name)) for name in reduced.suite(suite))
    replaced = [name for name in reduced.datasets if name.startswith(STAND_IN)]
    listed = ", ".join(name.removeprefix(STAND_IN) for name in replaced) or "no data set"
    table = folder / suite_dir(suite) / "table.md"
    return (
        f"{runs} runs of {steps} steps, to {table}: no number there is a result. "
        f"MNIST images stand in for {listed}. If it stops, the same command goes on; {folder} may "
        "be deleted at any time."
    )
