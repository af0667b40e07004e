"""The only import of mlflow: it takes seconds, so it happens when a connection is made."""

import logging
import re
from pathlib import Path
from typing import Any

from vct.tracking.uri import set_environment, tracking_uri


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


def reason(error: BaseException) -> str:
    """The first line of what mlflow, SQLAlchemy or requests say, cut short, no password in it."""
    text = str(error).strip() or type(error).__name__
    line = re.sub(r"//[^/@\s]+@", "//", text.splitlines()[0])
    return line if len(line) <= 200 else f"{line[:200]}…"
