"""MLflow: what every run did, to be compared while it trains and after.

The files of a run are the truth; MLflow holds a copy that is brought up to date by sending what it
lacks. So a server that is away costs nothing: `sync_run` sends later, each step once. Training and
scoring of one run are one MLflow run, found again by tags when its id is not known here.

mlflow is imported in `client` alone, and never by the process that trains.
"""

from vct.lab.tracking.away import Away
from vct.lab.tracking.background import BackgroundSync
from vct.lab.tracking.database import prepare
from vct.lab.tracking.sync import Sent, sync_run
from vct.lab.tracking.ui import ui_command
from vct.lab.tracking.uri import switched_off, tracking_uri

__all__ = [
    "Away",
    "BackgroundSync",
    "Sent",
    "prepare",
    "switched_off",
    "sync_run",
    "tracking_uri",
    "ui_command",
]
