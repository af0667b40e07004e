"""Files of a run as training leaves them, and what MLflow holds of it."""

import json
from pathlib import Path

import vct
from vct.lab.files.layout import RunId
from vct.lab.files.whole import write_json
from vct.lab.tracking import client as mlflow_client
from vct.lab.tracking.disk import RunFiles
from vct.lab.tracking.run import RunTracker

RUN = "digits/variational/seed0"
SOURCE = str(Path(vct.__file__).parents[1])


def config(**settings):
    return {
        "run": RUN,
        "settings": {"train": {"steps": 100, "optimizer": {"lr": 1e-3}}, **settings},
        "settings_sha256": "a" * 64,
        "data_sha256": "b" * 64,
        "code": {"vct": "0.1.0", "training": 1},
        "summary": {"parameters": 10},
    }


def files(root):
    return RunFiles(root, RunId.parse(RUN))


def write_log(root, steps, **values):
    path = files(root).state / "log.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        for step in steps:
            row = {"step": step, "loss": 1 / step, "kl": 0.5, "time": 1_700_000_000_000 + step}
            stream.write(json.dumps({**row, **values}) + "\n")


def finish(root, metrics=None):
    results = files(root).results
    write_json(results / "config.json", config())
    if metrics is not None:
        write_json(results / "metrics.json", metrics)


def opened(root, **options):
    return RunTracker.open(mlflow_client.connect(root), files(root), config(), **options)


def history(root, mlflow_run, key="loss"):
    metrics = mlflow_client.connect(root).get_metric_history(mlflow_run, key)
    return [metric.step for metric in sorted(metrics, key=lambda metric: metric.step)]


def runs(root):
    client = mlflow_client.connect(root)
    experiment = client.get_experiment_by_name("digits")
    return client.search_runs([experiment.experiment_id]) if experiment else []
