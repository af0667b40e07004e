"""`vct track init|ui|sync|scores`: MLflow's database, its browser interface, late deliveries."""

import sys
from pathlib import Path

from vct.lab.errors import UserError
from vct.lab.files.layout import TRACKED_FILE, TRACKING_READY, RunId, suite_dir
from vct.lab.records import TrackedRecord, TrackingReady, write
from vct.lab.settings.params import Params
from vct.lab.tracking.run import RunFiles, send_all
from vct.lab.tracking.store import Store, StoreUnavailable, switched_off
from vct.lab.tracking.ui import serve
from vct.lab.workflow.graph import suite_runs


def init(params: Params) -> None:
    """Create or upgrade the database, and leave the marker that trainings wait for."""
    if params.runtime.tracking and not switched_off():
        try:
            Store(Path()).prepare(params.experiments)
        except StoreUnavailable as away:  # trainings go on without it
            print(f"warning: {away}", file=sys.stderr)
    # The same bytes wherever MLflow is: the marker says that this stage ran, not what it found.
    write(TrackingReady(), TRACKING_READY)


def ui(params: Params) -> int:
    """Serve MLflow's interface on this machine until Ctrl-C."""
    store = Store(Path())
    store.prepare(params.experiments)
    return serve(store)


def sync(params: Params, name: list[str]) -> None:
    """Send what MLflow lacks of the runs called `name`, or of all that were trained here."""
    if not params.runtime.tracking:
        raise UserError("runtime.tracking is off in params.yaml; switch it on to send metrics.")
    runs = [RunId.parse(each) for each in name]
    every = [run for experiment in params.experiments for run in params.runs(experiment)]
    runs = runs or [run for run in every if RunFiles(Path(), run).exist]
    if not runs:
        raise UserError("no run was trained here yet; there is nothing to send.")
    if problems := send_all(Path(), runs, say=print):
        raise UserError(" ".join(map(str, problems)))


def scores(params: Params, name: str) -> None:
    """Send the scores and samples of a suite's runs, each to the MLflow run of its training.

    One process for all runs, since importing mlflow takes longer than sending. MLflow may be away:
    then a warning says so, and `vct track sync` sends them later.
    """
    runs = suite_runs(params, name)
    if params.runtime.tracking and not switched_off():
        for problem in send_all(Path(), runs):
            print(f"warning: {problem}", file=sys.stderr)
    write(TrackedRecord(runs=[str(run) for run in runs]), suite_dir(name) / TRACKED_FILE)
