"""`vct verify SUITE`: does a reproduction give the committed table?"""

import os
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

from vct.lab.commands.table import rows
from vct.lab.errors import UserError
from vct.lab.files.layout import suite_dir
from vct.lab.report.collect import collect
from vct.lab.report.reproduction import FAILURES, RULE, Finding, Key, TableRow, compare, read_rows
from vct.lab.report.summary import tidy
from vct.lab.report.table import to_csv
from vct.lab.settings.params import Params
from vct.lab.workflow.graph import DEFAULT_SUITE

MOST_BYTES = 2**26
"""Of a table; a device or a wrong file may never end."""


def verify(params: Params, name: str | None = None, against: str | None = None) -> int:
    """Compare the runs of a suite on disk with its table in git's HEAD, or in the file `against`.

    The runs themselves are read, not the table beside them, which in a fresh clone is the
    committed one. The rule is `vct.lab.report.reproduction.RULE`.

    Returns:
        0 if every committed row is identical or agrees, else 2.

    Raises:
        UserError: if there is no table to compare with, or no run of the suite on disk.
    """
    suite = name or DEFAULT_SUITE
    params.suite(suite)
    text, source = _committed(suite) if against is None else _file(against)
    committed = read_rows(text, source)
    fresh, reasons = _fresh(params, suite)
    found = compare(committed, fresh, reasons)
    print(f"{source}, against the runs of suite {suite} in results/\n{RULE}\n")
    print("\n".join(map(_line, found)))
    counts = Counter(finding.state for finding in found)
    failed = any(counts[state] for state in FAILURES)
    summary = ", ".join(f"{count} {state}" for state, count in counts.items())
    print(f"\n{suite}: {'NOT reproduced' if failed else 'reproduced'}; rows: {summary}")
    return 2 if failed else 0


def _committed(suite: str) -> tuple[str, str]:
    path = suite_dir(suite) / "table.csv"
    remedy = f"name a table: vct verify {suite} --against FILE."
    command = ["git", "show", f"HEAD:./{path.as_posix()}"]
    try:
        result = subprocess.run(command, capture_output=True, env={**os.environ, "LC_ALL": "C"})
        text = result.stdout.decode()
    except FileNotFoundError:
        raise UserError(
            f"git is not installed, so there is no committed {path}; {remedy}"
        ) from None
    except UnicodeDecodeError:
        raise UserError(f"{path} of git's HEAD is no text; {remedy}") from None
    if result.returncode:
        said = result.stderr.decode(errors="replace").strip().splitlines()[:1]
        why = "".join(said).removeprefix("fatal: ")
        raise UserError(f"git has no committed {path} ({why}); {remedy}")
    return text, f"{path} of git's HEAD"


def _file(path: str) -> tuple[str, str]:
    try:
        with Path(path).open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UserError(f"{path} is larger than {MOST_BYTES} bytes; give a table.csv.")
        return content.decode(), path
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise UserError(f"{path} cannot be read: {why}; give a table.csv.") from None


def _fresh(params: Params, suite: str) -> tuple[dict[Key, TableRow], dict[tuple[str, str], str]]:
    """Rows of the runs on disk, and why a coupling of an experiment has none."""
    found: dict[Key, TableRow] = {}
    reasons: dict[tuple[str, str], str] = {}
    for name in params.suite(suite):
        whole = rows(params, name)
        for coupling in whole.couplings:
            try:
                frame = tidy(collect([replace(whole, couplings=(coupling,))]))
            except UserError as error:
                reasons[name, coupling] = str(error)
            else:
                found |= read_rows(to_csv(frame), f"the rows of {name}/{coupling}")
    if not found:
        raise UserError(
            f"no run of suite {suite} is whole ({next(iter(reasons.values()))}) "
            f"Reproduce it first: snakemake --cores all --config suite={suite}"
        )
    return found, reasons


def _line(finding: Finding) -> str:
    detail = f": {finding.detail}" if finding.detail else ""
    return f"{finding.state:<14}  {finding.row}{detail}"
