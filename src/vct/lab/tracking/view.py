"""How MLflow's interface shows the runs of a suite: which page, which columns, nothing in front."""

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any
from urllib.parse import quote

from vct.lab.report.style import coupling_colours
from vct.lab.tracking import experiments, names
from vct.lab.tracking.store import Store

COLUMNS = ("Dataset", "Duration", "Source", "Models")
"""Of a list of runs, beside name, start and scores."""
NOTES_SEEN = {
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True,
    "mlflow.telemetry.info.alert.dismissed_v1": True,
    "mlflow.settings.telemetry.enabled_v1": False,
    "mlflow.workflowType_v1": "machine_learning",
}
"""What MLflow 3.17 keeps in a browser once its panel for language models and its note on telemetry
were closed and "Model training" was chosen."""
COLOURS = "experimentRunColors"
MOST = 1000
"""Runs that are looked at."""


class View:
    """Runs of some experiments with their charts and scores.

    Args:
        suite: names of the experiments; those without a run are left out.
    """

    def __init__(self, store: Store, suite: Sequence[str]) -> None:
        self.client = store.connect()
        found = [each for name in suite if (each := experiments.find(self.client, name))]
        self.experiments = sorted(
            str(each.experiment_id) for each in found if each.lifecycle_stage == "active"
        )

    @property
    def _place(self) -> str:
        return json.dumps(self.experiments, separators=(",", ":"))

    @property
    def address(self) -> str:
        """The end of the page's address, from `#`."""
        asked = "compareRunsMode=CHART&workflowType=machine_learning"
        if not self.experiments:
            return "#/experiments?workflowType=machine_learning"
        if len(self.experiments) == 1:
            return f"#/experiments/{self.experiments[0]}/runs?{asked}"
        return f"#/compare-experiments/s?experiments={quote(self._place)}&{asked}"

    @property
    def storage(self) -> dict[str, Any]:
        """What a browser keeps for MLflow, by key: columns, all runs in charts, seeds unfolded, a
        colour for each coupling."""
        key = f"MLflowLocalStorage-1.1-ExperimentPage-{self._place}-ReactComponentState"
        return {**NOTES_SEEN, key: self._state, COLOURS: self._colours}

    @cached_property
    def _runs(self) -> list[Any]:
        if not self.experiments:
            return []
        return list(self.client.search_runs(self.experiments, max_results=MOST))

    @property
    def _state(self) -> dict[str, Any]:
        marked = f"{names.SCORES}/"
        scores = sorted({key for run in self._runs for key in run.data.metrics if marked in key})
        parents = {run.data.tags.get("mlflow.parentRunId") for run in self._runs} - {None}
        return {
            "selectedColumns": [
                *(f"attributes.`{name}`" for name in COLUMNS),
                *(f"metrics.`{name}`" for name in scores),
            ],
            "runsHiddenMode": "SHOW_ALL",
            "runsExpanded": {parent: True for parent in parents},
        }

    @property
    def _colours(self) -> dict[str, str]:
        """Colours of runs, by their ids: those that the figures give to couplings."""
        of = {
            run.info.run_id: run.data.tags["coupling"]
            for run in self._runs
            if "coupling" in run.data.tags
        }
        colours = coupling_colours(sorted(set(of.values())))
        return {run: colours[coupling] for run, coupling in of.items()}
