"""How each number of a report is made again: settings, commands, hashes and times of its run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from vct.lab import records
from vct.lab.files.layout import RunId
from vct.lab.records import ProtocolRecord, RunRecord
from vct.lab.report import names
from vct.lab.report.collect import Collected, ExperimentRows
from vct.lab.report.protocol import conditions
from vct.lab.runs.provenance import read_run

SHORT = 12
"""Characters of a hash in a table; records hold all 64."""


@dataclass(frozen=True)
class Times:
    """When the training of a run ended (UTC), how long it took, and the commit of the code then;
    each empty where nobody noted it."""

    trained: str = ""
    took: str = ""
    commit: str = ""


Timed = Callable[[RunId, RunRecord], Times]
"""Tells the times of a run."""


@dataclass(frozen=True)
class RunLine:
    """A run: the scores that tables are made of, hashes by file, and its times."""

    seed: int
    scores: tuple[str, ...]
    hashes: tuple[tuple[str, str], ...]
    times: Times


@dataclass(frozen=True)
class CouplingRecipe:
    """Runs of one coupling.

    Args:
        seeds: as a shell's braces take them.
        headings: of the scores of each run.
    """

    name: str
    label: str
    settings: str
    seeds: str
    headings: tuple[str, ...]
    runs: tuple[RunLine, ...]


@dataclass(frozen=True)
class Recipe:
    """An experiment: what its runs share, and its couplings; whether one of these prepares
    something, and whether samples start from a fitted prior too."""

    experiment: str
    training: str
    protocol: str
    prepares: bool
    fits_prior: bool
    kept: str
    couplings: tuple[CouplingRecipe, ...]

    @property
    def commits(self) -> list[str]:
        """Those of the code when the runs were trained, as far as they are known."""
        times = (line.times for coupling in self.couplings for line in coupling.runs)
        return [*dict.fromkeys(each.commit for each in times if each.commit)]

    @property
    def is_timed(self) -> bool:
        """Whether the time of a training was noted."""
        return any(line.times.trained for each in self.couplings for line in each.runs)

    @property
    def example(self) -> str:
        """One of the runs."""
        first = self.couplings[0]
        return f"{self.experiment}/{first.name}/seed{first.runs[0].seed}"


def read(rows: Sequence[ExperimentRows]) -> dict[RunId, RunRecord]:
    """config.json of all runs, by where they are.

    Raises:
        UserError: if one is missing or damaged.
    """
    return {run: read_run(run) for each in rows for run in each.runs()}


def recipes(collected: Collected, found: Mapping[RunId, RunRecord], timed: Timed) -> list[Recipe]:
    """The experiments that have runs.

    Args:
        found: see `read`.
        timed: tells the times of a run.
    """
    made = []
    for name in collected.experiments:
        mine = {run: record for run, record in found.items() if run.experiment == name}
        first, protocol = next(iter(mine.values())), collected.protocols[name]
        kept = {str(run.root) for run in mine if run.root != RunId.root}
        made.append(
            Recipe(
                name,
                _yaml(first.settings["train"]),
                _yaml(conditions(protocol)),
                any(record.prepared_sha256 for record in mine.values()),
                protocol.priors is not None,
                ", ".join(sorted(kept)),
                tuple(_couplings(collected, name, mine, timed)),
            )
        )
    return made


def _couplings(
    collected: Collected, experiment: str, found: Mapping[RunId, RunRecord], timed: Timed
) -> list[CouplingRecipe]:
    made = []
    for name, label in collected.experiments[experiment].couplings.items():
        mine = {run: record for run, record in found.items() if run.coupling == name}
        if not mine:
            continue
        places = _places(collected, experiment, name)
        lines = tuple(
            RunLine(
                run.seed,
                _scores(collected, run, places),
                _hashes(run, record),
                timed(run, record),
            )
            for run, record in mine.items()
        )
        seeds = ",".join(str(line.seed) for line in lines)
        braces = f"{{{seeds}}}" if len(lines) > 1 else seeds
        headings = tuple(_heading(row, key) for row, key in places)
        settings = _yaml(next(iter(mine.values())).settings["coupling"])
        made.append(CouplingRecipe(name, label, settings, braces, headings, lines))
    return made


def _places(collected: Collected, experiment: str, coupling: str) -> list[tuple[str, str]]:
    """Row and key of the samples of the first metric of a coupling, in the table's order."""
    frame = collected.frame
    metric = collected.protocols[experiment].metrics[0]
    mine = frame[(frame["experiment"] == experiment) & (frame["metric"] == metric)]
    pairs = zip(mine["coupling"], mine["samples"], strict=True)
    return [*dict.fromkeys(each for each in pairs if names.coupling_of(each[0]) == coupling)]


def _heading(row: str, key: str) -> str:
    return names.label(names.heading(key), row.partition("/")[2])


def _scores(collected: Collected, run: RunId, places: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    frame = collected.frame
    metric = collected.protocols[run.experiment].metrics[0]
    mine = frame[
        (frame["experiment"] == run.experiment)
        & (frame["metric"] == metric)
        & (frame["seed"] == run.seed)
    ]
    by_place = dict(zip(zip(mine["coupling"], mine["samples"], strict=True), mine["value"],
                        strict=True))  # fmt: skip
    return tuple(f"{by_place[place]:.6g}" if place in by_place else "" for place in places)


def _hashes(run: RunId, record: RunRecord) -> tuple[tuple[str, str], ...]:
    """By what was hashed."""
    protocol = records.read(ProtocolRecord, run.directory / "protocol.json")
    files = {**(record.files or {}), **(protocol.files or {})}
    found = {"settings": record.settings_sha256, "data": record.data_sha256}
    shown = ("model.safetensors", "samples.npz", "metrics.json")
    return (*found.items(), *((name, files.get(name, "")) for name in shown))


def _yaml(content: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(content), sort_keys=False, default_flow_style=None, width=72)
