"""MLflow's browser interface."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress

from vct.lab.errors import UserError
from vct.lab.tracking.store import ENVIRONMENT, Store

HOST = "127.0.0.1"


def serve(store: Store) -> int:
    """Serve the interface until Ctrl-C, at the first free port from 5000 on."""
    port = _free_port()
    command = ui_command(store, port)
    print(f"MLflow opens at http://{HOST}:{port} (Ctrl-C stops it)", file=sys.stderr, flush=True)
    quiet = {**ENVIRONMENT, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    # In a session of its own, so that its server processes end with it, however this one ends.
    process = subprocess.Popen(command, env={**os.environ, **quiet}, start_new_session=True)
    try:
        return process.wait()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def ui_command(store: Store, port: int) -> list[str]:
    """The command line that serves the interface to this machine alone.

    One worker and no job queue, so that it opens quickly.

    Raises:
        UserError: if runs go to a server, which has an interface of its own.
    """
    if store.is_server:
        raise UserError(f"runs are tracked by the server {store.shown}; open it in a browser.")
    return [
        *(sys.executable, "-m", "mlflow", "ui"),
        *("--backend-store-uri", store.uri, "--registry-store-uri", store.uri),
        *("--host", HOST, "--port", str(port), "--workers", "1"),
    ]


def _free_port() -> int:
    for port in range(5000, 5020):
        with suppress(OSError), socket.create_server((HOST, port)):
            return port
    raise UserError("ports 5000 to 5019 are all in use; close other servers.")
