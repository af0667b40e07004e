"""A suite as one run of MLflow: its table, report and settings; its models in the registry."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vct.lab.errors import UserError
from vct.lab.files.layout import RunId, suite_dir
from vct.lab.records import TrackedRun, read
from vct.lab.runs.samples import scored
from vct.lab.settings.params import PARAMS, Params
from vct.lab.tracking import experiments, models, names
from vct.lab.tracking.files import RunFiles, number
from vct.lab.tracking.store import Store

EXPERIMENT = "all suites"
"""MLflow experiment of the suites; none of ours has a blank in its name."""
SHOWN = (".csv", ".md", ".tex", ".png", ".html")
LONGEST_NOTE = 7000
"""Characters of a table that MLflow takes as the description of a run."""


@dataclass(frozen=True)
class SuiteFiles:
    """What the project in `root` holds of a suite.

    Args:
        runs: all its runs, trained or not.
    """

    root: Path
    name: str
    runs: Sequence[RunId]

    @classmethod
    def of(cls, root: Path, params: Params, name: str) -> "SuiteFiles":
        """The suite called `name`, or a UserError with the nearest names."""
        return cls(root, name, params.suite_runs(name))

    @property
    def trained(self) -> list[RunId]:
        """Those of its runs that were trained here, or begun."""
        return [run for run in self.runs if RunFiles(self.root, run).exist]

    @property
    def lock(self) -> Path:
        """Held by the one process that sends this suite."""
        return self.root / "state" / f"{self.name}.suite.mlflow.lock"

    @property
    def artifacts(self) -> list[Path]:
        """Tables, figures and report, and the settings."""
        folder = self.root / suite_dir(self.name)
        made = [path for path in sorted(folder.glob("*")) if path.suffix in SHOWN]
        return [*made, self.root / PARAMS] if made else []

    def mlflow_runs(self, store: Store) -> dict[RunId, str]:
        """Ids of those of its runs that were sent to `store`."""
        found = {}
        for run in self.runs:
            note = RunFiles(self.root, run).note
            if note.exists() and (noted := read(TrackedRun, note)).uri == store.shown:
                found[run] = noted.mlflow_run
        return found


def everything(root: Path, params: Params) -> tuple[list[RunId], list[SuiteFiles]]:
    """All runs that were trained in the project, and the suites of which there is a table.

    Raises:
        UserError: if there is no run.
    """
    every = [run for experiment in params.experiments for run in params.runs(experiment)]
    runs = [run for run in every if RunFiles(root, run).exist]
    if not runs:
        raise UserError("no run was trained here yet; there is nothing to send.")
    suites = [SuiteFiles.of(root, params, name) for name in params.suites]
    return runs, [suite for suite in suites if suite.artifacts and suite.trained]


def send(store: Store, suite: SuiteFiles) -> None:
    """Register the models of a suite, and bring its own run up to date, once its table is there."""
    sent = suite.mlflow_runs(store)
    if not sent:
        return
    client = store.connect()
    known = {run: client.get_run(found) for run, found in sent.items()}
    for run, found in known.items():
        files = RunFiles(suite.root, run)
        if found.info.status == "FINISHED" and files.are_scored:
            models.register(client, suite.name, files, found.info.run_id, _scores(files))
    if suite.artifacts:
        _send_run(client, store, suite, list(known.values()))


def _scores(files: RunFiles) -> dict[str, str]:
    """The first score of each kind of samples, as tags of a model; MLflow has all as metrics."""
    scores = scored(files.scores())
    found = {key: next(iter(part.items())) for key, part in scores.items() if part}
    return {
        names.score_name("", metric, key, files.protocol).lstrip("/"): f"{number(value):.4g}"
        for key, (metric, value) in found.items()
    }


def _send_run(client: Any, store: Store, suite: SuiteFiles, runs: list[Any]) -> None:
    experiment = experiments.ensure(client, store, EXPERIMENT)
    tag = {"vct.suite": suite.name}
    content = {"vct.content_sha256": _content(suite.artifacts)}
    found = experiments.search(client, experiment, tag)
    run = found or client.create_run(
        experiment,
        run_name=suite.name,
        tags=tag | names.origin(suite.root, 0),
        start_time=min(run.info.start_time for run in runs),
    )
    if not content.items() <= run.data.tags.items():
        for path in suite.artifacts:
            client.log_artifact(run.info.run_id, str(path))
        if (table := suite.root / suite_dir(suite.name) / "table.md").exists():
            note = table.read_text(encoding="utf-8")
            client.set_tag(run.info.run_id, "mlflow.note.content", note[:LONGEST_NOTE])
        for key, value in content.items():  # last: without it, all is sent again
            client.set_tag(run.info.run_id, key, value)
    _end(client, run, suite, runs)


def _end(client: Any, run: Any, suite: SuiteFiles, runs: list[Any]) -> None:
    end = max(each.info.end_time or each.info.start_time for each in runs)
    whole = len(runs) == len(suite.runs) and all(each.info.status == "FINISHED" for each in runs)
    if whole and (run.info.status, run.info.end_time) != ("FINISHED", end):
        client.set_terminated(run.info.run_id, "FINISHED", end)


def _content(paths: Sequence[Path]) -> str:
    """Hash of files and their names."""
    whole = hashlib.sha256()
    for path in paths:
        whole.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()
