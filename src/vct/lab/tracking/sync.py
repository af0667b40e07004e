"""Send what MLflow lacks of a run that lies on disk."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.files.whole import read_object
from vct.lab.tracking import client
from vct.lab.tracking.away import Away
from vct.lab.tracking.database import locked, prepare
from vct.lab.tracking.disk import RunFiles
from vct.lab.tracking.run import RunTracker
from vct.lab.tracking.uri import shown, tracking_uri


@dataclass(frozen=True)
class Sent:
    """What `sync_run` did: the id of the MLflow run, and how many rows of training were sent."""

    mlflow_run: str
    rows: int


def sync_run(root: Path, run_id: str) -> Sent:
    """Bring MLflow up to date with a run: parameters, rows of training, scores, files, status.

    Sending twice changes nothing. Scores and artifacts are those in `results/`.

    Raises:
        Away: if MLflow is away; then other runs need not be tried.
        UserError: if the run was never trained, is being sent by another process, or refused.
    """
    files = RunFiles(root, RunId.parse(run_id))
    config, complete = files.config()
    try:
        with locked(files.lock, wait=False):
            tracker = RunTracker.open(open_store(root), files, config)
            rows = tracker.send_rows()
            if complete:
                send_results(tracker)
            return Sent(tracker.id, rows)
    except BlockingIOError:
        raise UserError(
            f"{run_id} is being trained or sent by another process, which sends all there is; "
            "nothing is to be done."
        ) from None
    except UserError:
        raise
    except Exception as error:
        where = shown(tracking_uri(root))
        if client.is_away(error):
            raise Away(where, client.reason(error)) from error
        raise UserError(
            f"MLflow at {where} does not take {run_id} ({client.reason(error)}); the metrics stay "
            f"on disk, send them when it is back: vct track sync {run_id}"
        ) from error


def open_store(root: Path) -> Any:
    """A client of the project's store, its database made ready first.

    Raises:
        Away: if that is noticed before mlflow is imported.
        Exception: whatever mlflow raises.
    """
    prepare(root)
    return client.connect(root)


def send_results(
    tracker: RunTracker,
    scores: dict[str, Any] | None = None,
    artifacts: Iterable[Path] | None = None,
) -> None:
    """Send what a finished training, and scoring if it was done, left in `results/`."""
    files = tracker.files
    scored = files.results / "metrics.json"
    if scores is None:
        scores = read_object(scored) if scored.exists() else {}
    tracker.send_scores({"summary": tracker.config.get("summary", {}), **scores})
    tracker.send_artifacts(files.artifacts() if artifacts is None else artifacts)
    tracker.end("FINISHED", (files.results / "config.json").stat().st_mtime)
