"""What a suite was repeated against: the committed table, or the runs that git keeps."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from vct.lab.errors import UserError
from vct.lab.files.layout import RunId, kept_dir
from vct.lab.report.collect import ExperimentRows
from vct.lab.report.reproduction import (
    Finding,
    Key,
    Pooled,
    TableRow,
    committed_table,
    compare,
    fresh_rows,
    given_table,
    read_rows,
    relative_spreads,
)
from vct.lab.runs import kept
from vct.lab.settings.params import Params


@dataclass(frozen=True)
class Repetition:
    """The runs of a suite on disk, compared with what was there before.

    Args:
        source: what they are compared with.
        findings: of each row.
        extent: how far the suite was repeated, where not in whole.
    """

    source: str
    findings: list[Finding]
    extent: str = ""

    @classmethod
    def of(cls, params: Params, suite: str, against: str | None) -> "Repetition":
        """That of a suite: against the file `against`, else against the runs that git keeps, else
        against the table in git's HEAD.

        Raises:
            UserError: if there is nothing to compare, or nothing to compare it with.
        """
        again = None if against else MadeAgain.of(params, suite)
        if again is not None:
            return _with_kept(suite, again)
        wholes = [ExperimentRows.of(each, params.experiment(each)) for each in params.suite(suite)]
        text, source = committed_table(suite) if against is None else given_table(against)
        committed = read_rows(text, source)
        fresh, reasons = fresh_rows(wholes)
        if not fresh:
            raise UserError(
                f"no run of suite {suite} is whole ({next(iter(reasons.values()))}) "
                f"Reproduce it first: snakemake --cores all --config suite={suite}"
            )
        return cls(source, compare(committed, fresh, reasons))


@dataclass(frozen=True)
class MadeAgain:
    """The runs of a suite that git keeps and that were made here too: rows of the same seeds.

    Args:
        committed, fresh: rows by key, of what is kept and of what was made here.
        reasons: why a coupling of an experiment gave no rows.
        spreads: by `relative_spreads`, of all that is kept.
        count, kept: how many runs were made again of how many.
        example: one that is kept.
    """

    committed: Mapping[Key, TableRow]
    fresh: Mapping[Key, TableRow]
    reasons: Mapping[tuple[str, str], str]
    spreads: Mapping[Key, Pooled]
    count: int
    kept: int
    example: RunId

    @classmethod
    def of(cls, params: Params, suite: str) -> "MadeAgain | None":
        """Those of a suite; None where git keeps none of its runs."""
        every = kept.kept(params, suite)
        if not every:
            return None
        again = {run for run in every if (run.directory / "protocol.json").exists()}

        def rows(runs: set[RunId], here: bool) -> tuple[dict[Key, TableRow], dict[Any, str]]:
            wholes = ExperimentRows.of_suite(params, suite, finished=True)
            places = {run: run if here else run.kept(suite) for run in runs}
            some = {run.experiment for run in runs}
            return fresh_rows(
                replace(each, places=places) for each in wholes if each.experiment in some
            )

        (fresh, reasons), (old, _), (whole, _) = (
            rows(again, True),
            rows(again, False),
            rows(every, False),
        )
        spreads = relative_spreads(whole.values())
        return cls(old, fresh, reasons, spreads, len(again), len(every), min(every, key=str))


def _with_kept(suite: str, again: MadeAgain) -> Repetition:
    folder = kept_dir(suite)
    if not again.count:
        raise UserError(
            f"none of the {again.kept} runs that {folder} keeps was made here; make some: "
            f"snakemake --cores all results/{again.example}/metrics.json, or all: remove {folder}, "
            f"and snakemake --cores all --config suite={suite}"
        )
    found = compare(again.committed, again.fresh, again.reasons, again.spreads)
    extent = f", as far as {again.count} of {again.kept} runs were made again"
    return Repetition(str(folder), found, extent)
