"""`vct verify SUITE`: does a reproduction give the committed table?"""

from collections import Counter

from vct.lab.errors import UserError
from vct.lab.report.collect import ExperimentRows
from vct.lab.report.reproduction import (
    FAILURES,
    RULE,
    Finding,
    MadeAgain,
    committed_table,
    compare,
    fresh_rows,
    given_table,
    read_rows,
)
from vct.lab.settings.params import Params
from vct.lab.workflow.graph import DEFAULT_SUITE


def verify(params: Params, name: str | None = None, against: str | None = None) -> int:
    """Compare the runs of a suite on disk with its table in git's HEAD, or in the file `against`.

    The runs themselves are read, not the table beside them, which in a fresh clone is the
    committed one. Of a suite whose runs git keeps, those that were made here too are compared with
    what is kept of them. The rule is `vct.lab.report.reproduction.RULE`.

    Returns:
        0 if every committed row is identical or agrees, else 2.

    Raises:
        UserError: if there is no table to compare with, or no run of the suite on disk.
    """
    suite = name or DEFAULT_SUITE
    again = None if against else MadeAgain.of(params, suite)
    if again is None:
        source, found, made = _with_table(params, suite, against)
    else:
        source, found, made = _with_kept(suite, again)
    print(f"{source}, against the runs of suite {suite} in results/\n{RULE}\n")
    print("\n".join(map(str, found)))
    counts = Counter(finding.state for finding in found)
    failed = any(counts[state] for state in FAILURES)
    summary = ", ".join(f"{count} {state}" for state, count in counts.items())
    print(f"\n{suite}: {'NOT reproduced' if failed else 'reproduced'}{made}; rows: {summary}")
    return 2 if failed else 0


def _with_table(params: Params, suite: str, against: str | None) -> tuple[str, list[Finding], str]:
    experiments = [ExperimentRows.of(each, params.experiment(each)) for each in params.suite(suite)]
    text, source = committed_table(suite) if against is None else given_table(against)
    committed = read_rows(text, source)
    fresh, reasons = fresh_rows(experiments)
    if not fresh:
        raise UserError(
            f"no run of suite {suite} is whole ({next(iter(reasons.values()))}) "
            f"Reproduce it first: snakemake --cores all --config suite={suite}"
        )
    return source, compare(committed, fresh, reasons), ""


def _with_kept(suite: str, again: MadeAgain) -> tuple[str, list[Finding], str]:
    folder = f"results/{suite}/runs"
    if not again.count:
        raise UserError(
            f"none of the {again.kept} runs that {folder} keeps was made here; make some: "
            f"snakemake --cores all results/{again.example}/metrics.json, or all: remove {folder}, "
            f"and snakemake --cores all --config suite={suite}"
        )
    found = compare(again.committed, again.fresh, again.reasons, again.spreads)
    return folder, found, f", as far as {again.count} of {again.kept} runs were made again"
