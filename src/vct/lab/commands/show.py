"""`vct show RUN`: what a run was made with and from, when, and whether its files are still that."""

from collections import Counter
from pathlib import Path

from vct.lab.files.layout import RunId
from vct.lab.report import origin
from vct.lab.runs.audit import PROBLEMS, Records, check_all
from vct.lab.settings.params import Params
from vct.lab.tracking.files import RunFiles


def show(params: Params, name: str) -> int:
    """Print a run's record and compare it with the disk.

    Returns:
        2 if a file or a setting differs from what was recorded, or a recorded file is missing;
        else 0. What no stage has made yet is no problem.
    """
    run = RunId.parse(name)
    found = Records.read(run)
    checks = check_all(params, found)
    logged = (run.state / "log.jsonl").exists()
    rows = RunFiles(Path(), run).rows() if logged else []
    lines = [
        *origin.settings(found),
        *origin.parents(found),
        *origin.times(run, [row["time"] for row in rows]),
        *origin.checks(checks),
    ]
    print("\n".join(lines))
    states = Counter(check.state for check in checks)
    print(f"{name}: " + ", ".join(f"{count} {state}" for state, count in states.items()))
    return 2 if any(states[state] for state in PROBLEMS) else 0
