"""`vct track init|ui|sync|scores`: MLflow's database, its browser interface, late deliveries."""

from pathlib import Path

from vct.lab.errors import UserError
from vct.lab.files.layout import TRACKED_FILE, TRACKING_READY, RunId, suite_dir
from vct.lab.records import TrackedRecord, TrackingReady, write
from vct.lab.settings.params import Params
from vct.lab.tracking.delivery import send_all, warn
from vct.lab.tracking.store import Store, StoreUnavailable, switched_off
from vct.lab.tracking.suite import SuiteFiles, everything
from vct.lab.tracking.ui import free_port, serve
from vct.lab.workflow.graph import DEFAULT_SUITE


def init(params: Params) -> None:
    """Create or upgrade the database, and leave the marker that trainings wait for."""
    if params.runtime.tracking and not switched_off():
        try:
            Store(Path()).prepare()
        except StoreUnavailable as away:  # trainings go on without it
            warn([away])
    # The same bytes wherever MLflow is: the marker says that this stage ran, not what it found.
    write(TrackingReady(), TRACKING_READY)


def ui(params: Params, name: str = DEFAULT_SUITE, port: int | None = None) -> int:
    """Bring MLflow up to date with a suite and show its runs in a browser, until Ctrl-C."""
    suite, store = SuiteFiles.of(Path(), params, name), Store(Path())
    place = 0 if store.is_server else free_port(port)
    store.prepare()
    if params.runtime.tracking and not switched_off():
        warn(send_all(Path(), suite.trained, of_suites=[suite]), needed=True)
    return serve(store, params.suite(name), place)


def sync(params: Params, name: list[str]) -> None:
    """Send what MLflow lacks of the runs called `name`, or of all that was made here."""
    if not params.runtime.tracking:
        raise UserError("runtime.tracking is off in params.yaml; switch it on to send metrics.")
    every, suites = everything(Path(), params)
    runs = [RunId.parse(each) for each in name]
    if problems := send_all(Path(), runs or every, print, () if runs else suites):
        raise UserError(" ".join(map(str, problems)))


def scores(params: Params, name: str) -> None:
    """Send scores, samples and models of a suite's runs that are here, and its table if it is.

    One process for all, since importing mlflow takes longer than sending. MLflow may be away: then
    a warning says so, and `vct track sync` sends them later.
    """
    suite = SuiteFiles.of(Path(), params, name)
    if params.runtime.tracking and not switched_off():
        warn(send_all(Path(), suite.trained, of_suites=[suite]))
    write(TrackedRecord(runs=[str(run) for run in suite.runs]), suite_dir(name) / TRACKED_FILE)
