"""Files of a run as training leaves them, and what MLflow holds of it."""

import json
from pathlib import Path

import vct
from vct.lab.files.layout import RunId
from vct.lab.files.whole import write_json
from vct.lab.records import RunRecord, StartedRecord, write
from vct.lab.tracking.files import RunFiles
from vct.lab.tracking.run import MlflowRun
from vct.lab.tracking.store import Store

RUN = RunId.parse("digits/variational/seed0")
SOURCE = str(Path(vct.__file__).parents[1])


def config(**settings):
    return {
        "run": str(RUN),
        "settings": {
            "train": {"steps": 100, "dataset": "digits", "optimizer": {"learning_rate": 1e-3}},
            **settings,
        },
        "settings_sha256": "a" * 64,
        "data_sha256": "b" * 64,
        "code": {"vct": "0.1.0", "training": 1},
        "summary": {"parameters": 10},
    }


def record(**changes):
    return RunRecord.model_validate(config() | changes)


def files(root):
    return RunFiles(root, RUN)


def start(root, time=0, **changes):
    """Leave word of a training as it does before its first step."""
    write(StartedRecord(config=record(**changes), time=time), root / RUN.started)


def write_log(root, steps, **values):
    path = files(root).state / "log.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        for step in steps:
            row = {"step": step, "loss": 1 / step, "kl": 0.5, "time": 1_700_000_000_000 + step}
            stream.write(json.dumps({**row, **values}) + "\n")


def finish(root, metrics=None, **changes):
    results = files(root).results
    write(record(**changes), results / "config.json")
    if metrics is not None:
        write_json(results / "metrics.json", metrics)


def opened(root, running=False, **changes):
    return MlflowRun(Store(root), files(root), record(**changes), running)


def history(root, mlflow_run, key="training/loss"):
    metrics = Store(root).connect().get_metric_history(mlflow_run, key)
    return [metric.step for metric in sorted(metrics, key=lambda metric: metric.step)]


def every(root, name="digits"):
    """All runs of an MLflow experiment: those of seeds, and those of couplings above them."""
    client = Store(root).connect()
    experiment = client.get_experiment_by_name(name)
    return client.search_runs([experiment.experiment_id]) if experiment else []


def runs(root, name="digits"):
    """Those of seeds."""
    return [run for run in every(root, name) if "vct.run" in run.data.tags]


def row(root, name="digits"):
    """That of the one coupling."""
    (found,) = [run for run in every(root, name) if "vct.row" in run.data.tags]
    return found
