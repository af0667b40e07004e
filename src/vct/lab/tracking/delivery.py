"""Sending what MLflow lacks: of one run, many, or a suite; sending twice changes nothing."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.files.locks import locked
from vct.lab.tracking import suite as suites
from vct.lab.tracking.files import RunFiles
from vct.lab.tracking.row import MlflowRow
from vct.lab.tracking.run import MlflowRun
from vct.lab.tracking.store import Store, StoreUnavailable, explained
from vct.lab.tracking.suite import SuiteFiles

LATER = "the metrics stay on disk, send them when it is back: vct track sync"


class Delivery:
    """Brings MLflow up to date with runs and suites of the project in `root`.

    All methods raise StoreUnavailable if MLflow is away; then nothing else need be tried.

    Raises:
        UserError: if MLflow would keep no runs at its address.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.store = root, Store(root)
        self._rows: dict[str, MlflowRow] = {}

    def run(self, run: RunId) -> int:
        """Send parameters, rows of training, scores, files, model and status of a run.

        Scores and files are those in `results/`.

        Returns:
            How many rows of training were sent.

        Raises:
            UserError: if it was never trained, is being sent by another process, or refused.
        """
        files = RunFiles(self.root, run)
        config, complete = files.config()
        busy = f"{run} is being trained or sent by another process, which sends all there is"
        with self._sending(str(run), files.lock, busy, f"{LATER} {run}"):
            tracked = MlflowRun(self.store, files, config)
            self._rows[tracked.row.id] = tracked.row
            rows = tracked.send_rows()
            if complete:
                tracked.send_results()
            return rows

    def rows(self) -> None:
        """Send what the couplings of the sent runs have in common: means, seeds, status."""
        while self._rows:
            _, row = self._rows.popitem()
            with explained(self.store, f"take the runs of {row.name}", LATER):
                row.update()

    def suite(self, suite: SuiteFiles) -> None:
        """Send models, table and report of a suite whose runs were sent.

        Raises:
            UserError: if it is being sent by another process, or refused.
        """
        what, busy = f"suite {suite.name}", f"suite {suite.name} is being sent by another process"
        with self._sending(what, suite.lock, busy, LATER):
            suites.send(self.store, suite)

    @contextmanager
    def _sending(self, what: str, lock: Path, busy: str, later: str) -> Iterator[None]:
        with explained(self.store, f"take {what}", later):
            try:
                with locked(lock, wait=False):
                    yield
            except BlockingIOError:
                raise UserError(f"{busy}; nothing is to be done.") from None


def send(root: Path, run: RunId) -> int:
    """Bring MLflow up to date with one run; see `Delivery.run`."""
    delivery = Delivery(root)
    rows = delivery.run(run)
    delivery.rows()
    return rows


def send_all(
    root: Path,
    runs: Iterable[RunId],
    say: Callable[[str], None] = lambda words: None,
    of_suites: Iterable[SuiteFiles] = (),
) -> list[UserError]:
    """Send each run, then each suite, none any more once MLflow is away; return what went wrong.

    Args:
        say: told what was sent.
    """
    try:
        delivery = Delivery(root)
    except UserError as error:  # of all runs the same
        return [error]

    def one(run: RunId) -> None:
        say(f"{run}: {delivery.run(run)} rows sent")

    def whole(suite: SuiteFiles) -> None:
        delivery.suite(suite)
        say(f"suite {suite.name}: sent")

    problems: list[UserError] = []
    tasks: list[Callable[[], None]] = [partial(one, run) for run in runs]
    tasks += [delivery.rows, *(partial(whole, suite) for suite in of_suites)]
    for task in tasks:
        try:
            task()
        except UserError as error:
            problems.append(error)
            if isinstance(error, StoreUnavailable):
                break
    return problems


def warn(problems: Iterable[UserError], needed: bool = False) -> None:
    """Say on stderr what went wrong where a stage goes on without MLflow.

    Raises:
        StoreUnavailable: if it is away and `needed`.
    """
    for problem in problems:
        if needed and isinstance(problem, StoreUnavailable):
            raise problem
        print(f"warning: {problem}", file=sys.stderr)
