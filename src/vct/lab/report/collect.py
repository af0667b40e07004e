"""Gather the scores of finished runs into one frame, and refuse what must not share a table."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from vct.lab import records
from vct.lab.errors import UserError
from vct.lab.files.layout import RunId, floor_file
from vct.lab.records import FloorRecord, Number, ProtocolRecord, RunRecord, Scores
from vct.lab.report import names
from vct.lab.report.protocol import conditions
from vct.lab.report.published import Benchmark, benchmark, departures
from vct.lab.runs import kept, samples
from vct.lab.runs.provenance import checked_scores
from vct.lab.settings.experiment import ExperimentSettings
from vct.lab.settings.objectives import Trained
from vct.lab.settings.own_options import of_metric
from vct.lab.settings.params import Params
from vct.lab.settings.run import training_version

COLUMNS = [
    "experiment",
    "dataset",
    "kernel",
    "objective",
    "coupling",
    "seed",
    "metric",
    "samples",
    "value",
    "settings_sha256",
    "versions",
    "samples_sha256",
]


@dataclass(frozen=True)
class ExperimentRows:
    """One experiment of a table: what its rows are called, and which runs are behind them.

    Args:
        kernel, objective: names in params.yaml; the labels are what a reader calls them.
        couplings: label of each coupling by its name, in the order of the rows.
        trains: what a network learns; None where only the user's objective knows.
        departures: what is otherwise than published, see `vct.lab.report.published`.
        benchmark: the data set of published scores that this one is.
        places: where runs are, if not all in their own folders; others are left out.
        floor: file with the scores of held-out data, if not in the experiment's folder.
    """

    experiment: str
    dataset: str
    kernel: str
    kernel_label: str
    objective: str
    objective_label: str
    couplings: Mapping[str, str]
    seeds: tuple[int, ...]
    trains: Trained | None = "consistency"
    departures: tuple[str, ...] = ()
    benchmark: Benchmark | None = None
    places: Mapping[RunId, RunId] | None = None
    floor: Path | None = None

    @classmethod
    def of_suite(cls, params: Params, suite: str, finished: bool = False) -> "list[ExperimentRows]":
        """The rows of a suite, from the runs here and those that git keeps.

        Args:
            finished: leave out the runs that are nowhere, or of other settings than there are now.

        Raises:
            UserError: if a run is of other settings, data or code, and is not left out.
        """
        rows = []
        for name in params.suite(suite):
            experiment = params.experiment(name)
            data = params.dataset(experiment.train.dataset)
            places = kept.tabled(params, suite, name, finished)
            rows.append(
                replace(
                    cls.of(name, experiment),
                    benchmark=benchmark(data, experiment.train.conditional),
                    places=places,
                    floor=kept.floor(suite, name, places.values()),
                )
            )
        return rows

    @classmethod
    def of(cls, name: str, experiment: ExperimentSettings) -> "ExperimentRows":
        """The rows of an experiment of params.yaml."""
        train = experiment.train
        return cls(
            experiment=name,
            dataset=train.dataset,
            kernel=train.kernel.member,
            kernel_label=train.kernel.label or train.kernel.member,
            objective=train.objective.member,
            objective_label=train.objective.label or train.objective.member,
            couplings={variant: experiment.label(variant) for variant in experiment.variants},
            seeds=tuple(experiment.seeds),
            trains=train.objective.trains,
            departures=departures(experiment),
        )

    def of_seeds(self, seeds: Sequence[int]) -> "ExperimentRows":
        """The same rows of some seeds alone."""
        return replace(self, seeds=tuple(seeds))

    def runs(self) -> list[RunId]:
        """All runs, where they are, by coupling, then seed."""
        every = [
            RunId(self.experiment, name, seed) for name in self.couplings for seed in self.seeds
        ]
        if self.places is None:
            return every
        return [self.places[run] for run in every if run in self.places]


def couplings(experiments: Sequence[ExperimentRows]) -> list[str]:
    """Names of all couplings of a suite, each once: they share out the colours of its figures."""
    return [*dict.fromkeys(name for each in experiments for name in each.couplings)]


@dataclass(frozen=True)
class Collected:
    """Scores of experiments, and the records that say what the numbers mean.

    Args:
        frame: one row per run, prior, metric and key of the samples, in the order of the
            experiments, with COLUMNS. `coupling` is such as `variational/fitted` where sampling
            started from another prior than N(0, I) (`names.row`). `samples` is a key such as
            `steps2` or `heun18`, empty for numbers of the run itself, such as aggregate_variance;
            `value` is NaN where the score was not finite.
        experiments, protocols, floors: by name of the experiment; a protocol is that of all its
            runs, but for the hashes of files.
        declared: all experiments of the table, also those without a run.
    """

    frame: pd.DataFrame
    experiments: dict[str, ExperimentRows]
    protocols: dict[str, ProtocolRecord]
    floors: dict[str, FloorRecord]
    declared: dict[str, ExperimentRows]

    def rows(self, experiment: str) -> dict[str, str]:
        """Labels of the rows of an experiment: its couplings, each from every prior."""
        found = set(self.frame.loc[self.frame["experiment"] == experiment, "coupling"])
        return {
            row: names.label(label, prior)
            for coupling, label in self.experiments[experiment].couplings.items()
            for prior in ("", *names.PRIORS)
            if (row := names.row(coupling, prior)) in found
        }


@dataclass(frozen=True)
class _Run:
    """What the files of one run say."""

    run: RunId
    config: RunRecord
    protocol: ProtocolRecord
    scores: Scores


def collect(experiments: Sequence[ExperimentRows]) -> Collected:
    """Read metrics.json, config.json and protocol.json of all runs, and the floors.

    Raises:
        UserError: if a file is missing or damaged; if the runs of one row (experiment x coupling)
            have different settings; if the runs of an experiment differ in training settings,
            data, training code or protocol; if config.json or metrics.json of a run is not the file
            that its scoring read or wrote; if a floor is of another extractor or reference.
    """
    rows: list[dict[str, Any]] = []
    protocols, floors = {}, {}
    for experiment in experiments:
        name, runs = experiment.experiment, [_read_run(run) for run in experiment.runs()]
        if not runs:
            continue
        _check_same(runs)
        protocols[name] = runs[0].protocol
        floors[name] = _read_floor(name, experiment.floor, runs[0].protocol)
        rows += [row for run in runs for row in _rows(experiment, run)]
    frame = pd.DataFrame(rows, columns=COLUMNS).astype({"value": float})
    declared = {each.experiment: each for each in experiments}
    found = {name: each for name, each in declared.items() if name in protocols}
    return Collected(frame, found, protocols, floors, declared)


def _read_run(run: RunId) -> _Run:
    config, protocol = checked_scores(run, ("config.json", "metrics.json"))
    return _Run(run, config, protocol, records.read(Scores, run.directory / "metrics.json"))


# --- what must agree -------------------------------------------------------------------------


def _check_same(runs: list[_Run]) -> None:
    """Compare every run with the first of its row and with the first of its experiment."""
    first_of_row: dict[str, _Run] = {}
    for this in runs:
        row = first_of_row.setdefault(this.run.coupling, this)
        _refuse_others(row, this, "config.json", lambda run: {"settings": run.config.settings})
        _refuse_others(runs[0], this, "config.json", _training)
        _refuse_others(runs[0], this, "protocol.json", lambda run: conditions(run.protocol))


def _training(this: _Run) -> dict[str, Any]:
    """What all couplings of an experiment share, of their training."""
    settings = {key: value for key, value in this.config.settings.items() if key != "coupling"}
    # Runs with dropout have a version of their own; all of an experiment must be as old.
    age = training_version(this.config.settings) - this.config.code.training
    return {"settings": settings, "data_sha256": this.config.data_sha256, "code.training": age}


def _refuse_others(first: _Run, this: _Run, file: str, facts: Any) -> None:
    one, other = facts(first), facts(this)
    for key in sorted({*one, *other}):
        if one.get(key) != other.get(key):
            raise UserError(
                f"{this.run.directory / file}: {key} differs from that of "
                f"{first.run.directory / file}, so their numbers cannot share a table; make both "
                "runs again with the same settings."
            )


def held_out(rows: ExperimentRows) -> FloorRecord:
    """The scores of held-out data that belong to the first of the runs.

    Raises:
        UserError: if a file is missing or damaged, or they do not belong to it.
    """
    protocol = records.read(ProtocolRecord, rows.runs()[0].directory / "protocol.json")
    return _read_floor(rows.experiment, rows.floor, protocol)


def _read_floor(experiment: str, place: Path | None, protocol: ProtocolRecord) -> FloorRecord:
    path = place or floor_file(experiment)
    floor = records.read(FloorRecord, path)
    for key in sorted({"extractor", "reference", "version"} & floor.model_fields_set):
        if getattr(floor, key) != getattr(protocol, key):
            raise UserError(
                f"{path}: {key} differs from that of the runs of {experiment}, so the floor does "
                f"not belong to these scores; make it again: vct floor {experiment}"
            )
    if of_metric(floor.extras) != of_metric(protocol.extras):
        raise UserError(
            f"{path} was made with another form of your metric than the scores of {experiment}; "
            f"make it again: vct floor {experiment}"
        )
    return floor


# --- rows ------------------------------------------------------------------------------------


def _rows(experiment: ExperimentRows, this: _Run) -> list[dict[str, Any]]:
    config, protocol = this.config, this.protocol
    stages = {
        "training": config.code.training,
        "sampling": protocol.sampling_version,
        "scoring": protocol.version,
    }
    head = {
        "experiment": experiment.experiment,
        "dataset": experiment.dataset,
        "kernel": experiment.kernel,
        "objective": experiment.objective,
        "coupling": this.run.coupling,
        "seed": this.run.seed,
        "settings_sha256": config.settings_sha256,
        "versions": " ".join(f"{stage} {version}" for stage, version in stages.items()),
        "samples_sha256": (protocol.files or {}).get("samples.npz"),
    }
    rows = []
    for metric, key, value in _scores(this.scores):
        prior, schedule = samples.split_key(key)
        coupling = names.row(this.run.coupling, prior)
        number = math.nan if value is None else value
        rows.append(
            {**head, "coupling": coupling, "metric": metric, "samples": schedule, "value": number}
        )
    return rows


def _scores(scores: Scores) -> list[tuple[str, str, Number]]:
    """(metric, key of the samples, value) of one run, fewest steps first, then its own numbers."""
    own = [(key, "", value) for key, value in scores.root.items() if isinstance(value, int | float)]
    sampled = samples.scored(scores.root)
    parts = {key: value for key, value in sampled.items() if isinstance(value, dict)}
    return [(metric, key, value) for key in parts for metric, value in parts[key].items()] + own
