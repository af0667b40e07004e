"""MLflow's browser interface."""

import socket
import sys
from pathlib import Path

from vct.lab.errors import UserError
from vct.lab.tracking.uri import ENVIRONMENT, is_server, shown, tracking_uri

HOST = "127.0.0.1"


def ui_command(root: Path, port: int | None = None) -> list[str]:
    """The command line that serves the interface to this machine alone.

    One worker and no job queue, so that it opens quickly. Without `port`, the first free one from
    5000 on.

    Raises:
        UserError: if runs go to a server, which has an interface of its own.
    """
    uri = tracking_uri(root)
    if is_server(uri):
        raise UserError(f"runs are tracked by the server {shown(uri)}; open it in a browser.")
    quiet = {**ENVIRONMENT, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return [
        "env",
        *(f"{name}={value}" for name, value in quiet.items()),
        *(sys.executable, "-m", "mlflow", "ui"),
        *("--backend-store-uri", uri, "--registry-store-uri", uri),
        *("--host", HOST, "--port", str(port or _free_port()), "--workers", "1"),
    ]


def _free_port() -> int:
    for port in range(5000, 5020):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise UserError("ports 5000 to 5019 are all in use; close other servers.")
