"""Where MLflow keeps its data, and the environment it is used in."""

import os
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

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

SQLITE = "sqlite:///"


def set_environment() -> None:
    """Set what mlflow reads when it is imported; what the user has set for HTTP is kept."""
    for name, value in ENVIRONMENT.items():
        if name.startswith("MLFLOW_HTTP"):
            os.environ.setdefault(name, value)
        else:
            os.environ[name] = value


def switched_off() -> bool:
    """Whether `VCT_TRACKING=off` is set."""
    return os.environ.get("VCT_TRACKING", "").strip().lower() in ("off", "false", "no", "0")


def tracking_uri(root: Path) -> str:
    """`MLFLOW_TRACKING_URI`, or the SQLite file `mlflow.db` in `root`.

    A relative SQLite path is taken from `root`, whatever folder a process runs in.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip() or f"{SQLITE}mlflow.db"
    if uri.startswith(SQLITE):
        return f"{SQLITE}{root.resolve() / uri.removeprefix(SQLITE)}"
    return uri


def sqlite_file(uri: str) -> Path | None:
    """The file of an absolute SQLite URI, None for any other kind of store."""
    return Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None


def artifact_folder(database: Path) -> Path:
    """Artifacts lie beside the database, where `mlflow ui` looks by default."""
    return database.parent / "mlartifacts"


def is_server(uri: str) -> bool:
    """Whether the store is reached over HTTP."""
    return uri.startswith(("http://", "https://"))


def shown(uri: str) -> str:
    """`uri` without user name and password, for messages and files."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
