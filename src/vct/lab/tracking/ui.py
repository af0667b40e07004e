"""MLflow's browser interface, opened on the runs of a suite."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from vct.lab.errors import UserError
from vct.lab.files.whole import read_text
from vct.lab.tracking.app import PAGE, ROOT, SUITE
from vct.lab.tracking.store import Store, explained
from vct.lab.tracking.view import View

HOST = "127.0.0.1"
PORTS = range(5000, 5020)
PATIENCE = 120
"""Seconds in which MLflow's server starts, on a slow disk."""
LOG = "state/mlflow-ui.log"


def serve(store: Store, suite: Sequence[str], port: int) -> int:
    """Serve the interface until Ctrl-C, and say where it shows the runs of a suite.

    Where runs go to a server, that is all: it has an interface of its own.

    Args:
        suite: names of its experiments.
        port: a free one.

    Raises:
        UserError: if the server does not start.
    """
    if store.is_server:
        with explained(store, "show its runs", "see that you may read them."):
            address = View(store, suite).address
        _say(f"MLflow shows the runs at {store.shown.rstrip('/')}/{address}")
        return 0
    with server(store, suite, port) as process:
        _say(f"MLflow shows the runs at http://{HOST}:{port}{PAGE} (Ctrl-C stops it)")
        return process.wait()


@contextmanager
def server(store: Store, suite: Sequence[str], port: int) -> "Iterator[subprocess.Popen[bytes]]":
    """The process that serves the interface, from its first answer on; it ends with the block.

    Raises:
        UserError: if it does not start.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        ROOT: str(store.root.absolute()),
        SUITE: " ".join(suite),
    }
    (store.root / LOG).parent.mkdir(parents=True, exist_ok=True)
    with (store.root / LOG).open("wb") as log:
        # In a session of its own, so that Ctrl-C reaches it through this process alone.
        process = subprocess.Popen(
            _command(port),
            env=environment,
            start_new_session=True,
            stdout=log,
            stderr=log,
        )
    try:
        _wait(process, port, store)
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def free_port(wanted: int | None) -> int:
    """The port `wanted`, or the first free one from 5000 on.

    Raises:
        UserError: if it is in use, or all are.
    """
    for port in PORTS if wanted is None else [wanted]:
        # Too large a number is an OverflowError.
        with suppress(OSError, OverflowError), socket.create_server((HOST, port)):
            return port
    if wanted is None:
        raise UserError(
            f"ports {PORTS[0]} to {PORTS[-1]} are all in use; close other servers, or choose one: "
            "vct track ui --port PORT"
        )
    raise UserError(f"port {wanted} is in use, or not yours to take; choose another one.")


def _command(port: int) -> list[str]:
    """One process, so that it opens quickly; to this machine alone."""
    return [
        *(sys.executable, "-m", "uvicorn", "--factory", "vct.lab.tracking.app:make"),
        *("--host", HOST, "--port", str(port), "--log-level", "warning"),
        *("--timeout-graceful-shutdown", "1"),
    ]


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _wait(process: "subprocess.Popen[bytes]", port: int, store: Store) -> None:
    """Wait until the server answers.

    Raises:
        UserError: if it ends, or takes too long.
    """
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=5):
            return
        time.sleep(0.1)
    said = read_text(store.root / LOG).strip().splitlines() or ["it said nothing"]
    raise UserError(f"MLflow's server does not start at port {port} ({said[-1]}); see {LOG}.")
