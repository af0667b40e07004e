"""`vct track init|ui|sync`: the MLflow database, its browser interface, and late deliveries."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from vct.lab.errors import UserError
from vct.lab.files.layout import TRACKED_FILE, TRACKING_READY, RunId, suite_dir
from vct.lab.files.whole import write_json
from vct.lab.settings.params import Params
from vct.lab.tracking import Away, prepare, switched_off, sync_run, ui_command
from vct.lab.workflow.graph import suite_runs


def init(params: Params) -> None:
    """Create or upgrade the database, and leave the marker that trainings wait for."""
    if params.runtime.tracking and not switched_off():
        try:
            prepare(Path(), params.experiments)
        except Away as away:  # trainings go on without it
            print(f"warning: {away}", file=sys.stderr)
    # The same bytes wherever MLflow is: the marker says that this stage ran, not what it found.
    write_json(TRACKING_READY, {"tracking": "ready"})


def ui(params: Params) -> int:
    """Serve MLflow's interface on this machine until Ctrl-C."""
    prepare(Path(), params.experiments)
    command = ui_command(Path())
    port = command[command.index("--port") + 1]
    print(f"MLflow opens at http://127.0.0.1:{port} (Ctrl-C stops it)", file=sys.stderr, flush=True)
    # In a session of its own, so that its server processes end with it, however this one ends.
    process = subprocess.Popen(command, env=dict(os.environ), start_new_session=True)
    try:
        return process.wait()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def sync(params: Params, name: list[str]) -> None:
    """Send what MLflow lacks of the runs called `name`, or of all that were trained here."""
    if not params.runtime.tracking:
        raise UserError("runtime.tracking is off in params.yaml; switch it on to send metrics.")
    runs = [RunId.parse(each) for each in name] or _all_runs(params)
    problems = []
    for run in runs:
        try:
            print(f"{run}: {sync_run(Path(), str(run)).rows} rows sent")
        except UserError as error:
            problems.append(str(error))
            if isinstance(error, Away):
                break
    if problems:
        raise UserError(" ".join(problems))


def scores(params: Params, name: str) -> None:
    """Send the scores and samples of a suite's runs, each to the MLflow run of its training.

    One process for all runs, since importing mlflow takes longer than sending. MLflow may be away:
    then a warning says so, and `vct track sync` sends them later.
    """
    runs = suite_runs(params, name)
    if params.runtime.tracking and not switched_off():
        for run in runs:
            try:
                sync_run(Path(), str(run))
            except UserError as error:
                print(f"warning: {error}", file=sys.stderr)
                if isinstance(error, Away):
                    break
    write_json(suite_dir(name) / TRACKED_FILE, {"runs": [str(run) for run in runs]})


def _all_runs(params: Params) -> list[RunId]:
    every = [run for name in params.experiments for run in params.runs(name)]
    known = [run for run in every if (run.directory / "config.json").exists() or _logged(run)]
    if not known:
        raise UserError("no run was trained here yet; there is nothing to send.")
    return known


def _logged(run: RunId) -> bool:
    return (run.state / "log.jsonl").exists()
