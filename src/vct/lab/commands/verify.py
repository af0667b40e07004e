"""`vct verify SUITE`: does a reproduction give what is committed?"""

from collections import Counter

from vct.lab.report.repetition import Repetition
from vct.lab.report.reproduction import FAILURES, RULE
from vct.lab.settings.params import Params
from vct.lab.workflow.graph import DEFAULT_SUITE


def verify(params: Params, name: str | None = None, against: str | None = None) -> int:
    """Compare the runs of a suite on disk with what git's HEAD has of it, or the file `against`.

    That is the table, or of a suite whose runs git keeps, those of them that were made here too.
    The runs themselves are read, not the table beside them, which in a fresh clone is the committed
    one. The rule is `vct.lab.report.reproduction.RULE`.

    Returns:
        0 if every committed row is identical or agrees, else 2.

    Raises:
        UserError: if there is no table to compare with, or no run of the suite on disk.
    """
    suite = name or DEFAULT_SUITE
    found = Repetition.of(params, suite, against)
    print(f"{found.source}, against the runs of suite {suite} in results/\n{RULE}\n")
    print("\n".join(map(str, found.findings)))
    counts = Counter(finding.state for finding in found.findings)
    failed = not counts or any(counts[state] for state in FAILURES)
    summary = ", ".join(f"{count} {state}" for state, count in counts.items())
    verdict = f"{'NOT reproduced' if failed else 'reproduced'}{found.extent}"
    print(f"\n{suite}: {verdict}; rows: {summary}")
    return 2 if failed else 0
