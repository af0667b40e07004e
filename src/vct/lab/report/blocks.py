"""The readable table, before it is Markdown or LaTeX: blocks of rows whose numbers compare."""

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from vct.lab.records import Label, ProtocolRecord
from vct.lab.report import names, published
from vct.lab.report.collect import Collected, ExperimentRows
from vct.lab.report.protocol import comparable, sentence
from vct.lab.report.summary import Spread, spreads
from vct.samplers.base import parse_key

EMPTY = "–"
_FIGURES = 3  # significant digits of the smallest mean of a column
_MODE = "mass_mode"

Place = tuple[str, str, str, str]
"""Experiment, row, metric and key of the samples."""
Spreads = Mapping[Place, Spread]


@dataclass(frozen=True)
class Column:
    """Numbers of one kind: a metric of samples by their key (empty: of the run itself).

    The masses of all modes share one column, since each says little alone. `first` is what the
    first metric is called.
    """

    metrics: tuple[str, ...]
    samples: str
    decimals: int
    first: Label

    @property
    def label(self) -> str:
        """What the numbers are; ↓ where less is better, ↑ where more is."""
        if self.metrics[0].startswith(_MODE):
            return "mass of each mode"
        arrow = " ↓" if self.first.lower_is_better else " ↑" if self.first.higher_is_better else ""
        return self.first.short + arrow

    @property
    def sampling(self) -> str:
        """How the samples were drawn, such as `2 steps`; empty for numbers of the run itself."""
        return names.heading(self.samples)


@dataclass(frozen=True)
class Cell:
    """`body` is `mean ± sd`, `count` the number of seeds (None: no run behind it)."""

    body: str
    count: int | None = None
    bold: bool = False


@dataclass(frozen=True)
class Row:
    """`head` is what the row is about, `cells` its numbers by column."""

    head: tuple[str, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Block:
    """Rows of one data set under one protocol; `groups` are its experiments, `references` what was
    published under that protocol, `published` what the experiments do otherwise, in a sentence."""

    title: str
    columns: tuple[Column, ...]
    groups: tuple[tuple[Row, ...], ...]
    floors: tuple[Row, ...]
    references: tuple[Row, ...]
    protocol: str
    published: str = ""


HEAD = ("experiment", "kernel", "objective", "coupling")


def blocks(collected: Collected, bold: Set[Place] = frozenset()) -> list[Block]:
    """Blocks in the order of the experiments; scores at the places `bold` are set in bold.

    A block holds one data set and one comparable protocol (see `protocol.comparable`), so numbers
    of different extractors, references or sample counts never stand in one column.
    """
    members: dict[tuple[str, str], list[ExperimentRows]] = {}
    for name, experiment in collected.experiments.items():
        key = experiment.dataset, comparable(collected.protocols[name])
        members.setdefault(key, []).append(experiment)
    every = spreads(collected.frame)
    return [_block(experiments, collected, every, bold) for experiments in members.values()]


def _block(
    experiments: Sequence[ExperimentRows], collected: Collected, every: Spreads, bold: Set[Place]
) -> Block:
    protocols = {each.experiment: collected.protocols[each.experiment] for each in experiments}
    here = {place: spread for place, spread in every.items() if place[0] in protocols}
    columns = _columns(here, next(iter(protocols.values())))
    return Block(
        f"{experiments[0].dataset}: {columns[0].first.label}",
        columns,
        tuple(
            _group(each, collected.rows(each.experiment), columns, here, bold)
            for each in experiments
        ),
        _floors(list(protocols), columns, collected),
        _references(experiments, columns, next(iter(protocols.values()))),
        sentence(protocols),
        published.sentence({each.experiment: each.departures for each in experiments}),
    )


# --- columns ---------------------------------------------------------------------------------


def _columns(spreads: Spreads, protocol: ProtocolRecord) -> tuple[Column, ...]:
    """The metrics that the protocol names before others, each by number of steps; numbers of the
    run last."""
    found = dict.fromkeys(metric for _, _, metric, _ in spreads)
    order = list(
        dict.fromkeys([*(metric for metric in protocol.metrics if metric in found), *found])
    )
    modes = tuple(metric for metric in order if metric.startswith(_MODE))
    kinds = [(metric,) for metric in order if metric not in modes] + ([modes] if modes else [])
    columns = []
    for kind in kinds:
        mine = {place: spread for place, spread in spreads.items() if place[2] in kind}
        means = [spread.mean for spread in mine.values()]
        label = names.metric(kind[0], protocol)
        decimals = _decimals(means, label.decimals)
        keys = sorted({key for *_, key in mine}, key=_by_steps)
        columns += [Column(kind, key, decimals, label) for key in keys]
    return tuple(sorted(columns, key=lambda column: not column.samples))


def _by_steps(key: str) -> tuple[bool, int]:
    """Few steps before those of other samplers."""
    sampler, steps = parse_key(key) or ("", 0)
    return sampler != "steps", steps


def _decimals(means: Sequence[float], most: int) -> int:
    """Digits after the point that give the smallest of `means` _FIGURES digits, if `most`
    suffice."""
    sizes = [abs(mean) for mean in means if mean and math.isfinite(mean)]
    if not sizes:
        return most
    return min(max(_FIGURES - 1 - math.floor(math.log10(min(sizes))), 0), most)


# --- rows ------------------------------------------------------------------------------------


def _group(
    experiment: ExperimentRows,
    rows: Mapping[str, str],
    columns: Sequence[Column],
    spreads: Spreads,
    bold: Set[Place],
) -> tuple[Row, ...]:
    head = (experiment.experiment, experiment.kernel_label, experiment.objective_label)

    def cell(row: str, column: Column) -> Cell:
        places = [(head[0], row, metric, column.samples) for metric in column.metrics]
        found = [spreads.get(place) for place in places]
        return _cell(found, column.decimals, places[0] in bold)

    return tuple(
        Row((*head, label), tuple(cell(row, column) for column in columns))
        for row, label in rows.items()
    )


def _cell(spreads: Sequence[Spread | None], decimals: int, bold: bool) -> Cell:
    found = [spread for spread in spreads if spread is not None]
    if not found:
        return Cell(EMPTY)
    if any(spread.finite < spread.n for spread in found):
        worst = min(found, key=lambda spread: spread.finite)
        return Cell(f"not finite in {worst.n - worst.finite} of {worst.n}", worst.n)
    if len(spreads) > 1:
        return Cell(" / ".join(f"{spread.mean:z.{decimals}f}" for spread in found), found[0].n)
    spread = found[0]
    sd = f" ± {spread.sd:z.{decimals}f}" if spread.n > 1 else ""
    return Cell(f"{spread.mean:z.{decimals}f}{sd}", spread.n, bold)


def _floors(
    experiments: Sequence[str], columns: Sequence[Column], collected: Collected
) -> tuple[Row, ...]:
    """One row for held-out real data, or one per experiment where their floors differ."""
    owners: dict[tuple[Cell, ...], list[str]] = {}
    for name in experiments:
        scores = collected.floors[name].scores
        cells = tuple(_floor_cell([scores.get(m) for m in c.metrics], c.decimals) for c in columns)
        owners.setdefault(cells, []).append(name)
    rows = []
    for cells, names_ in owners.items():
        owner = f", {', '.join(names_)}" if len(owners) > 1 else ""
        count = collected.floors[names_[-1]].num_samples
        rows.append(Row((f"held-out real data ({count}){owner}", "", "", ""), cells))
    return tuple(rows)


def _floor_cell(values: Sequence[float | None], decimals: int) -> Cell:
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values):
        return Cell(EMPTY)
    return Cell(" / ".join(f"{number:z.{decimals}f}" for number in numbers))


def _references(
    experiments: Sequence[ExperimentRows], columns: Sequence[Column], protocol: ProtocolRecord
) -> tuple[Row, ...]:
    """One row for each published method, with what was published under the first metric."""
    couplings = [name for each in experiments for name in each.couplings]
    objectives = [each.objective for each in experiments]
    found = published.scores(experiments[0].benchmark, protocol, objectives, couplings)
    first = protocol.metrics[0]

    def cell(column: Column, scores: Mapping[str, float]) -> Cell:
        value = scores.get(column.samples) if column.metrics[0] == first else None
        return Cell(EMPTY if value is None else f"{value:.2f}")

    return tuple(
        Row(
            (f"published: {each.name} ({each.source})", "", "", ""),
            tuple(cell(column, each.scores) for column in columns),
        )
        for each in found
    )
