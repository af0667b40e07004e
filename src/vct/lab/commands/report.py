"""`vct report SUITE`: table, comparisons, figures and how each number came about, on one page."""

import sys
from pathlib import Path

from vct.lab.files.layout import RunId
from vct.lab.records import RunRecord
from vct.lab.report import origin, page
from vct.lab.report.recipes import Times
from vct.lab.settings.params import Params
from vct.lab.tracking.commit import commit_at
from vct.lab.tracking.files import RunFiles


def report(params: Params, name: str, finished: bool = False) -> None:
    """Write `report.html` of a suite, from its records and the figures beside it.

    Args:
        finished: of the runs that there are; else all must be there.
    """
    path = page.write_page(params, name, finished, _times)
    print(f"{path} is written", file=sys.stderr)


def _times(run: RunId, record: RunRecord) -> Times:
    """Those of a run whose log is that of the training that was recorded."""
    files = RunFiles(Path(), run)
    since = files.since(record) if (run.state / "log.jsonl").exists() else 0
    if not since:
        return Times()
    batch = int(record.settings["train"]["batch_size"])
    return Times(*origin.trained(files.rows(), batch), commit_at(Path(), since) or "")
