"""MLflow's own server in this process, with faults between it and its clients."""

import logging
import os
import threading
import urllib.request
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server


class Quiet(WSGIRequestHandler):
    """Writes no line for each request."""

    def log_message(self, format, *arguments):
        pass


class Server:
    """Serves the database in `folder` over HTTP.

    Requests are counted since the last `lose`.
    """

    def __init__(self, folder):
        store = f"sqlite:///{folder}/mlflow.db"
        os.environ |= {
            "_MLFLOW_SERVER_FILE_STORE": store,
            "_MLFLOW_SERVER_REGISTRY_STORE": store,
            "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(folder / "artifacts"),
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        }
        from mlflow.server import app

        logging.getLogger("mlflow").setLevel(logging.CRITICAL)
        self.app, self.port, self.http = app, 0, None
        self.lose(None)
        self.start()
        self._open_store()

    def _open_store(self):
        """MLflow makes the store of a server the default of its process; undo that."""
        before = os.environ.get("MLFLOW_TRACKING_URI")
        page = f"{self.uri}/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"
        urllib.request.urlopen(page).close()
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before

    def lose(self, number):
        """Do what request `number` asks and answer it with error 500; None: answer all."""
        self.lost, self.requests = number, 0

    def __call__(self, environment, start_response):
        if environment["PATH_INFO"] == "/health":
            return self.app(environment, start_response)
        number, self.requests = self.requests, self.requests + 1
        if number != self.lost:
            return self.app(environment, start_response)
        b"".join(self.app(environment, lambda *_: None))
        start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
        return [b"out of order"]

    def start(self):
        """Listen, at the same port as before."""
        self.http = make_server("127.0.0.1", self.port, self, WSGIServer, Quiet)
        self.port = self.http.server_port
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self):
        """Die; connections are refused from now on."""
        self.http.shutdown()
        self.http.server_close()

    @property
    def uri(self):
        """What MLFLOW_TRACKING_URI is set to."""
        return f"http://127.0.0.1:{self.port}"
