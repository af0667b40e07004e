"""The only import of mlflow: it takes seconds, so it happens when a connection is made."""

import logging
import re
from pathlib import Path
from typing import Any

from vct.lab.tracking.away import Away
from vct.lab.tracking.uri import set_environment, tracking_uri


def load() -> Any:
    """mlflow, told to call nobody and to leave reporting of errors to the caller."""
    set_environment()
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.CRITICAL)
    return mlflow


def connect(root: Path) -> Any:
    """An `MlflowClient` of the project in `root`.

    Raises:
        Exception: whatever mlflow raises when its store cannot be opened.
    """
    load()
    from mlflow.tracking import MlflowClient

    uri = tracking_uri(root)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def create_database(uri: str, artifacts: Path) -> None:
    """Make a new SQLite database; MLflow's own first experiment keeps files in `artifacts`."""
    load()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(uri, str(artifacts)).engine.dispose()


def upgrade_database(uri: str) -> None:
    """Bring an older SQLite database to the schema of the installed mlflow, as its CLI does."""
    load()
    from mlflow.store.db import utils

    engine = utils.create_sqlalchemy_engine_with_retry(uri)
    utils._upgrade_db(engine)
    engine.dispose()


def is_locked(error: BaseException) -> bool:
    """Whether SQLite gave up waiting for another process, as sqlite3, SQLAlchemy or mlflow say."""
    return "database is locked" in str(error)


def is_away(error: BaseException) -> bool:
    """Whether the store as a whole does not work, rather than refuse this one request."""
    if isinstance(error, ConnectionError | TimeoutError) or is_locked(error):
        return True
    status = getattr(error, "get_http_status_code", None)
    return status is not None and status() not in (400, 404, 409)


def reason(error: BaseException) -> str:
    """What is the matter, in the words of mlflow, SQLAlchemy or requests: one line, cut short, no
    password in it."""
    if isinstance(error, Away):
        return error.why
    text = str(error).strip() or type(error).__name__
    first = text.splitlines()[0]
    if cause := re.search(r"\(Caused by (.+)\)$", first):
        first = cause[1]
    line = re.sub(r"//[^/@\s]+@", "//", first)
    return line if len(line) <= 200 else f"{line[:200]}…"
