"""Where MLflow keeps its data, and the only import of mlflow.

Importing mlflow takes seconds, so it happens when it is first needed.
"""

import logging
import os
import re
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPException
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from vct.lab.errors import UserError, quoted
from vct.lab.files.locks import locked
from vct.lab.records import StoreRecord, read, write

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
}
"""No calls home (mlflow wants the word `true`), and a server that is away is given up soon.

No request is repeated by mlflow itself: it would create a second run when the answer to the first
request was lost. Later attempts look first what is there."""

ADDRESS = "MLFLOW_TRACKING_URI"
SQLITE = "sqlite:///"
KNOWN = ("http:", "https:", "postgresql", "mysql", "mssql", "databricks")
UNFIT = re.compile(r"\?|%[0-9A-Fa-f]{2}")
ADVICE = "name a server (https://...) or a database (sqlite:///mlflow.db), or leave it unset."
READY = Path("state/mlflow-ready.json")
LOCK = Path("state/mlflow.lock")
PATIENCE = 5.0
"""Seconds to wait for a database that another process has locked."""


class StoreUnavailable(UserError):
    """MLflow's store does not answer, answers with errors, or is locked by another process.

    Args:
        place: the store, without password.
        why: in a few words.
    """

    def __init__(self, place: str, why: str) -> None:
        super().__init__(
            f"MLflow at {place} is away ({why}); metrics stay on disk and are sent when it is "
            "back: vct track sync"
        )
        self.why = why


def switched_off() -> bool:
    """Whether `VCT_TRACKING=off` is set."""
    return os.environ.get("VCT_TRACKING", "").strip().lower() in ("off", "false", "no", "0")


def load() -> Any:
    """mlflow, told to call nobody and to leave the reporting of errors to the caller."""
    for name, value in ENVIRONMENT.items():
        if name.startswith("MLFLOW_HTTP"):  # the user may set these
            os.environ.setdefault(name, value)
        else:
            os.environ[name] = value
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.CRITICAL)
    return mlflow


def machine_monitor(store: "Store", run: str, interval: float) -> Any:
    """MLflow's thread that sends the load of this machine to the run with the id `run`.

    Args:
        interval: seconds between two measurements.
    """
    load()
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    return SystemMetricsMonitor(run, interval, resume_logging=True, tracking_uri=store.uri)


def server_app(store: "Store") -> Any:
    """MLflow's application over `store`, as its own command serves it, without a queue of jobs."""
    load()
    os.environ |= {
        "_MLFLOW_SERVER_FILE_STORE": store.uri,
        "_MLFLOW_SERVER_REGISTRY_STORE": store.uri,
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    if store.database:
        place = str(artifact_folder(store.database))
        os.environ["_MLFLOW_SERVER_ARTIFACT_DESTINATION"] = place
    from mlflow.server.fastapi_app import app

    return app


class Store:
    """The store of the project in `root`: `MLFLOW_TRACKING_URI`, or the SQLite file `mlflow.db`.

    A relative SQLite path is taken from `root`, whatever folder a process runs in.

    Attributes:
        uri: as mlflow takes it.
        database: the file of a SQLite store, None for any other.

    Raises:
        UserError: if MLflow would keep no runs at this address, or keep them elsewhere.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.uri = os.environ.get(ADDRESS, "").strip() or f"{SQLITE}mlflow.db"
        self.database = _database(self.uri, root.resolve())
        if self.database:
            self.uri = f"{SQLITE}{self.database}"

    @property
    def shown(self) -> str:
        """The address without user name and password, for messages and files."""
        return _without_password(self.uri)

    @property
    def is_server(self) -> bool:
        """Whether it is reached over HTTP."""
        return self.uri.startswith(("http://", "https://"))

    def artifacts(self, experiment: str) -> str | None:
        """Where an experiment keeps files, None if the store knows better."""
        return str(artifact_folder(self.database) / experiment) if self.database else None

    def connect(self) -> Any:
        """An `MlflowClient`, its database made ready first.

        Raises:
            StoreUnavailable: if that is noticed before mlflow is imported.
            Exception: whatever mlflow raises when its store cannot be opened.
        """
        self.prepare()
        return self._client()

    def _client(self) -> Any:
        return load().MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def prepare(self) -> None:
        """Make the database ready.

        Safe to call at once from many processes, cheap (no import of mlflow) when all is there. Of
        a server only its presence is asked.

        Raises:
            StoreUnavailable: if a server does not answer, or the SQLite database is locked by
                another program.
            UserError: if the SQLite database cannot be made, read or written.
        """
        if self.is_server and (why := self._silence()):
            raise StoreUnavailable(self.shown, why)
        if self.database is None:
            self._check_kind()
            return
        with locked(self.root / LOCK):
            try:
                if not _ready(self.root / READY, self.database):
                    _make(self.database)
                    found = StoreRecord(mlflow=version("mlflow"), revision=_revision(self.database))
                    write(found, self.root / READY)
                _relocate(self.database)
            except UserError:
                raise
            except Exception as error:
                if is_unavailable(error):
                    raise StoreUnavailable(str(self.database), reason(error)) from error
                raise UserError(
                    f"{self.database} cannot be used as MLflow's database ({reason(error)}); "
                    "move it aside, or name another by MLFLOW_TRACKING_URI."
                ) from error

    def _check_kind(self) -> None:
        """Ask mlflow, which may have been extended, about an address of no known kind."""
        if self.uri.lower().startswith(KNOWN):
            return
        try:
            self._client()
        except Exception as error:
            raise UserError(f"{ADDRESS}: {reason(error)}; {ADVICE}") from error

    def _silence(self) -> str | None:
        """Why a server does not answer within three seconds or says that it is ill, else None."""
        try:
            with urllib.request.urlopen(f"{self.shown.rstrip('/')}/health", timeout=3):
                return None
        except urllib.error.HTTPError as error:
            # Below 500 it is well, if only to say who may ask, or that it has no such page.
            return f"it answers with error {error.code}" if error.code >= 500 else None
        except (OSError, ValueError, HTTPException) as error:
            return str(getattr(error, "reason", error))


def _database(uri: str, root: Path) -> Path | None:
    """The file that a SQLite address names; None for an address of another kind.

    MLflow itself would put some of them elsewhere: what follows a `?` is no path to it, `%3F` is a
    `?` in that of its artifacts, and without a path it keeps runs in memory, or nowhere at all.
    """
    kind = uri.partition(":")[0].lower() if ":" in uri else "file"
    here = f"{ADDRESS}: {quoted(_without_password(uri))}"
    if kind == "file":
        raise UserError(f"{here} is a folder, in which MLflow keeps no runs any more; {ADVICE}")
    if kind.partition("+")[0] != "sqlite":
        return None
    path = uri.removeprefix(SQLITE)
    if path == uri or path in ("", ":memory:") or path.endswith("/"):
        raise UserError(f"{here} is not of the form sqlite:///FILE; {ADVICE}")
    database = root / path
    if found := UNFIT.search(str(database)):
        raise UserError(
            f"MLflow would not keep its database at {database}, as {quoted(found[0])} is no part "
            f"of a path to it; rename the folder, name another place by {ADDRESS}, or switch "
            "runtime.tracking off."
        )
    return database


def _without_password(uri: str) -> str:
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def is_unavailable(error: BaseException) -> bool:
    """Whether the store as a whole does not work, rather than refuse this one request."""
    # As sqlite3, SQLAlchemy and mlflow say it.
    if isinstance(error, ConnectionError | TimeoutError) or "database is locked" in str(error):
        return True
    status = getattr(error, "get_http_status_code", None)
    return status is not None and status() not in (400, 404, 409)


def reason(error: BaseException) -> str:
    """What is the matter, in the words of mlflow, SQLAlchemy or requests: one line, cut short, no
    password in it."""
    if isinstance(error, StoreUnavailable):
        return error.why
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    if cause := re.search(r"\(Caused by (.+)\)$", first):
        first = cause[1]
    line = re.sub(r"//[^/@\s]+@", "//", first)
    return line if len(line) <= 200 else f"{line[:200]}…"


@contextmanager
def explained(store: Store, what: str, remedy: str) -> Iterator[None]:
    """Inside, what MLflow raises is a sentence.

    Args:
        what: it does not do, if it refuses.

    Raises:
        StoreUnavailable: if it is away.
        UserError: if it refuses.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if is_unavailable(error):
            raise StoreUnavailable(store.shown, reason(error)) from error
        raise UserError(
            f"MLflow at {store.shown} does not {what} ({reason(error)}); {remedy}"
        ) from error


# --- the SQLite database: made or upgraded once, by one process at a time ----------------------


def artifact_folder(database: Path) -> Path:
    """Artifacts lie beside the database, where `mlflow ui` looks by default."""
    return database.parent / "mlartifacts"


def _open(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(database, timeout=PATIENCE)


def _revision(database: Path) -> str | None:
    """The schema that alembic, MLflow's tool for that, has noted; None if there is no note."""
    with closing(_open(database)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE name='alembic_version'")
        if not tables.fetchall():
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row else None


def _ready(note: Path, database: Path) -> bool:
    """Whether the database has the schema that the installed mlflow was seen to want."""
    try:
        found = read(StoreRecord, note)
    except UserError:
        return False
    if found.mlflow != version("mlflow") or not database.exists():
        return False
    return found.revision == _revision(database)


def _make(database: Path) -> None:
    """Create the database, or upgrade it after a backup."""
    if not database.exists() or database.stat().st_size == 0:
        database.parent.mkdir(parents=True, exist_ok=True)
        # Beside its place and renamed: a process killed here leaves no half-made schema.
        temporary = database.with_name(f".{database.name}.{os.getpid()}")
        try:
            _create(temporary, artifact_folder(database))
            temporary.replace(database)
        finally:
            temporary.unlink(missing_ok=True)
    elif _revision(database) is None:
        raise UserError(
            f"{database} is not a database of MLflow; move it aside, or name another by "
            "MLFLOW_TRACKING_URI."
        )
    else:
        _upgrade(database)


def _create(database: Path, artifacts: Path) -> None:
    load()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(f"{SQLITE}{database}", str(artifacts)).engine.dispose()


def _upgrade(database: Path) -> None:
    """Upgrade to the schema of this mlflow, as its CLI does; a copy is kept if they differ."""
    before = _revision(database)
    copy = database.with_name(f"{database.name}.schema-{before}")
    with closing(_open(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    load()
    from mlflow.store.db import utils

    engine = utils.create_sqlalchemy_engine_with_retry(f"{SQLITE}{database}")
    utils._upgrade_db(engine)
    engine.dispose()
    if _revision(database) == before:
        copy.unlink()


PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
)
"""Columns in which MLflow stores absolute paths."""


def _relocate(database: Path) -> None:
    """Point MLflow at the artifacts beside the database, after the folder was moved or copied."""
    here = str(artifact_folder(database))
    with closing(_open(database)) as connection:
        locations = connection.execute("SELECT artifact_location FROM experiments").fetchall()
        parents = {os.path.dirname(row[0]) for row in locations if row[0] and row[0][0] == "/"}
        for old in parents:
            if old == here or not old.endswith("/mlartifacts"):
                continue
            for table, column in PLACES:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                    f"WHERE substr({column}, 1, ?) = ?",
                    (here, len(old) + 1, len(old) + 1, f"{old}/"),
                )
        connection.commit()
