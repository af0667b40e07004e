"""The SQLite database of MLflow: made or upgraded once, by one process at a time."""

import fcntl
import os
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPException
from importlib.metadata import version
from pathlib import Path

from vct.lab.errors import UserError
from vct.lab.files.whole import read_json, write_json
from vct.lab.tracking import client
from vct.lab.tracking.away import Away
from vct.lab.tracking.uri import (
    SQLITE,
    artifact_folder,
    is_server,
    shown,
    sqlite_file,
    tracking_uri,
)

READY = Path("state/mlflow-ready.json")
"""Which database was found in order, by which mlflow: so that asking again needs no import."""

PATIENCE = 5.0
"""Seconds to wait for a database that another process has locked."""


def prepare(root: Path, experiments: Iterable[str] = ()) -> None:
    """Make the tracking database ready, with an MLflow experiment for each of `experiments`.

    Safe to call at once from many processes, cheap (no import of mlflow) when all is there. Of a
    server only its presence is asked.

    Raises:
        Away: if a server does not answer, or the SQLite database is locked by another program.
        UserError: if the SQLite database cannot be made, read or written.
    """
    uri = tracking_uri(root)
    if is_server(uri):
        if why := why_away(uri):
            raise Away(shown(uri), why)
        return
    database = sqlite_file(uri)
    if database is None:
        return
    with locked(root / "state/mlflow.lock"):
        try:
            if not _ready(root, database):
                _make(root, database)
            relocate(database)
            missing = set(experiments) - set(_experiments(database))
            if missing:
                mlflow = client.connect(root)
                for name in sorted(missing):
                    mlflow.create_experiment(name, str(artifact_folder(database) / name))
        except UserError:
            raise
        except Exception as error:
            if client.is_locked(error):
                raise Away(str(database), client.reason(error)) from error
            raise UserError(
                f"{database} cannot be used as MLflow's database ({client.reason(error)}); "
                "move it aside, or name another by MLFLOW_TRACKING_URI."
            ) from error


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock file `path`; the system frees it however the process ends.

    Raises:
        BlockingIOError: if it is held by another process and `wait` is false.
        UserError: if the file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a")
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror}; make the folder writable."
        ) from None
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def _ready(root: Path, database: Path) -> bool:
    """Whether the database has the schema that the installed mlflow was seen to want."""
    try:
        noted = read_json(root / READY)
        if noted["mlflow"] != version("mlflow") or not database.exists():
            return False
        return bool(noted["schema"] == _schema(database))
    except (UserError, sqlite3.Error, KeyError, TypeError) as error:
        if client.is_locked(error):
            raise
        return False


def _make(root: Path, database: Path) -> None:
    """Create, or upgrade after a backup; then note what is there."""
    artifacts = artifact_folder(database)
    if not database.exists() or database.stat().st_size == 0:
        database.parent.mkdir(parents=True, exist_ok=True)
        # Beside its place and renamed: a process killed here leaves no half-made schema.
        temporary = database.with_name(f".{database.name}.{os.getpid()}")
        try:
            client.create_database(f"{SQLITE}{temporary}", artifacts)
            temporary.replace(database)
        finally:
            temporary.unlink(missing_ok=True)
    else:
        if _schema(database) is None:
            raise UserError(
                f"{database} is not a database of MLflow; move it aside, or name another by "
                "MLFLOW_TRACKING_URI."
            )
        _upgrade(database)
    write_json(root / READY, {"mlflow": version("mlflow"), "schema": _schema(database)})


def _upgrade(database: Path) -> None:
    """Upgrade to the schema of this mlflow; the copy that it asks for is kept if they differ."""
    before = _schema(database)
    copy = database.with_name(f"{database.name}.schema-{before}")
    with closing(_open(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    client.upgrade_database(f"{SQLITE}{database}")
    if _schema(database) == before:
        copy.unlink()


def _open(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(database, timeout=PATIENCE)


def _schema(database: Path) -> str | None:
    """The revision that alembic, MLflow's tool for schemas, has noted in the database."""
    with closing(_open(database)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE name='alembic_version'")
        if not tables.fetchall():
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row else None


def _experiments(database: Path) -> list[str]:
    with closing(_open(database)) as connection:
        return [row[0] for row in connection.execute("SELECT name FROM experiments")]


def relocate(database: Path) -> None:
    """Point MLflow at the artifacts beside the database, after the folder was moved or copied.

    MLflow stores absolute paths with each experiment and run.
    """
    here = str(artifact_folder(database))
    with closing(_open(database)) as connection:
        locations = connection.execute("SELECT artifact_location FROM experiments").fetchall()
        parents = {os.path.dirname(row[0]) for row in locations if row[0] and row[0][0] == "/"}
        for old in parents:
            if old == here or not old.endswith("/mlartifacts"):
                continue
            for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                    f"WHERE substr({column}, 1, ?) = ?",
                    (here, len(old) + 1, len(old) + 1, f"{old}/"),
                )
        connection.commit()


def why_away(uri: str) -> str | None:
    """Why a server does not answer within three seconds or says that it is ill, None if well."""
    try:
        with urllib.request.urlopen(f"{shown(uri).rstrip('/')}/health", timeout=3):
            return None
    except urllib.error.HTTPError as error:
        # Below 500 it is well, if only to say who may ask, or that it has no such page.
        return f"it answers with error {error.code}" if error.code >= 500 else None
    except (OSError, ValueError, HTTPException) as error:
        return str(getattr(error, "reason", error))
