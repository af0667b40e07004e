"""The readable table, before it is Markdown or LaTeX: blocks of rows whose numbers compare."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from vct.lab.report import names
from vct.lab.report.protocol import Protocol, sentence
from vct.lab.report.summary import ROW, Spread, best

EMPTY = "–"
_FIGURES = 3  # significant digits of the smallest mean of a column
_MODE = "mass_mode"
_DRAWN = ["sampler", "steps"]


@dataclass(frozen=True)
class Column:
    """Numbers of one kind: a metric and its sampling steps (None: of the run itself).

    The masses of all modes share one column, since each says little alone.
    """

    metrics: tuple[str, ...]
    steps: int | None
    decimals: int
    sampler: str = "steps"

    @property
    def label(self) -> str:
        """What the numbers are; ↓ where less is better, ↑ where more is."""
        if self.metrics[0].startswith(_MODE):
            return "mass of each mode"
        metric = names.metric(self.metrics[0])
        arrow = " ↓" if metric.lower_is_better else " ↑" if metric.higher_is_better else ""
        return metric.short + arrow

    @property
    def sampling(self) -> str:
        """How the samples were drawn, such as `2 steps`; empty for numbers of the run itself."""
        return names.heading(f"{self.sampler}{self.steps}") if self.steps else ""

    @property
    def ranked(self) -> bool:
        """Whether the best of the column is worth marking."""
        metric = names.metric(self.metrics[0])
        return len(self.metrics) == 1 and (metric.lower_is_better or metric.higher_is_better)


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
    """Rows of one data set under one protocol; `groups` are its experiments."""

    title: str
    columns: tuple[Column, ...]
    groups: tuple[tuple[Row, ...], ...]
    floors: tuple[Row, ...]
    protocol: str


HEAD = ("experiment", "kernel", "objective", "coupling")


def blocks(frame: pd.DataFrame) -> list[Block]:
    """Blocks from the frame of `collect`, in its order.

    A block holds one data set and one comparable protocol (see `Protocol.comparable`), so numbers
    of different extractors, references or sample counts never stand in one column.
    """
    comparable = frame["protocol"].map(lambda text: Protocol.parse(text).comparable)
    grouped = frame.groupby([frame["dataset"], comparable], sort=False)
    return [_block(part) for _, part in grouped]


def _block(part: pd.DataFrame) -> Block:
    by_experiment = part.groupby("experiment", sort=False)
    protocols = {
        str(name): Protocol.parse(rows.iloc[0]["protocol"]) for name, rows in by_experiment
    }
    columns = _columns(part, next(iter(protocols.values())))
    label = names.metric(columns[0].metrics[0]).label
    return Block(
        f"{part.iloc[0]['dataset']}: {label}",
        columns,
        tuple(_group(rows, columns) for _, rows in by_experiment),
        _floors(part, columns),
        sentence(protocols),
    )


# --- columns ---------------------------------------------------------------------------------


def _columns(part: pd.DataFrame, protocol: Protocol) -> tuple[Column, ...]:
    """The primary metric first, each metric by number of steps, numbers of the run last."""
    found = list(dict.fromkeys(part["metric"]))
    named = [metric for metric in protocol.metrics if metric in found]
    order = named + [metric for metric in found if metric not in named]
    modes = tuple(metric for metric in order if metric.startswith(_MODE))
    kinds = [(metric,) for metric in order if metric not in modes] + ([modes] if modes else [])
    sampled = part[part["steps"].notna()]
    columns = []
    for kind in kinds:
        decimals = _decimals(part[part["metric"].isin(kind)], names.metric(kind[0]).decimals)
        drawn = sampled[sampled["metric"].isin(kind)]
        counts = sorted({(str(sampler), int(n)) for sampler, n in drawn[_DRAWN].to_numpy()})
        # Few steps before many: "steps" comes after "heun".
        counts.sort(key=lambda count: count[0], reverse=True)
        columns += [Column(kind, steps, decimals, sampler) for sampler, steps in counts]
        columns += [] if counts else [Column(kind, None, decimals)]
    return tuple(sorted(columns, key=lambda column: column.steps is None))


def _decimals(scores: pd.DataFrame, most: int) -> int:
    """Digits after the point that give the smallest mean of a column _FIGURES digits, if `most`
    suffice."""
    means = scores.groupby([*ROW, "metric", "steps"], dropna=False)["value"].mean().abs()
    smallest = means[means > 0].min()
    if not math.isfinite(smallest):
        return most
    return min(max(_FIGURES - 1 - math.floor(math.log10(smallest)), 0), most)


# --- rows ------------------------------------------------------------------------------------


def _group(rows: pd.DataFrame, columns: Sequence[Column]) -> tuple[Row, ...]:
    couplings = list(dict.fromkeys(rows["coupling"]))
    first = rows.iloc[0]
    head = (first["experiment"], names.kernel(first["kernel"]), names.objective(first["objective"]))
    by_column = [_cells(rows, couplings, column) for column in columns]
    return tuple(
        Row((*head, names.coupling(coupling)), tuple(cells[index] for cells in by_column))
        for index, coupling in enumerate(couplings)
    )


def _cells(rows: pd.DataFrame, couplings: Sequence[str], column: Column) -> list[Cell]:
    """Cells of one experiment in one column, the best of them bold."""
    spreads = [
        [_spread(rows[rows["coupling"] == coupling], metric, column) for metric in column.metrics]
        for coupling in couplings
    ]
    single = [row[0] for row in spreads if row[0] is not None] if column.ranked else []
    winner = best(single, names.metric(column.metrics[0]).lower_is_better)
    bold = None if winner is None else single[winner]
    return [_cell(row, column.decimals, row[0] is bold and bold is not None) for row in spreads]


def _spread(rows: pd.DataFrame, metric: str, column: Column) -> Spread | None:
    here = rows[rows["metric"] == metric]
    steps = here["steps"]
    drawn = (steps == column.steps).fillna(False) & (here["sampler"] == column.sampler)
    here = here[steps.isna() if column.steps is None else drawn]
    return Spread(tuple(here["value"])) if len(here) else None


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


def _floors(part: pd.DataFrame, columns: Sequence[Column]) -> tuple[Row, ...]:
    """One row for held-out real data, or one per experiment where their floors differ."""
    by_experiment = part.groupby("experiment", sort=False)
    rows: dict[tuple[Cell, ...], list[str]] = {}
    counts: dict[tuple[Cell, ...], object] = {}
    for name, scores in by_experiment:
        floor = dict(zip(scores["metric"], scores["floor"], strict=True))
        cells = tuple(_floor_cell(floor, column) for column in columns)
        rows.setdefault(cells, []).append(str(name))
        counts[cells] = scores.iloc[0]["floor_samples"]
    return tuple(Row(_floor_head(counts[cells], rows, cells), cells) for cells in rows)


def _floor_head(
    count: object, rows: dict[tuple[Cell, ...], list[str]], cells: tuple[Cell, ...]
) -> tuple[str, ...]:
    size = "" if pd.isna(count) else f" ({count})"  # type: ignore[call-overload]
    owner = f", {', '.join(rows[cells])}" if len(rows) > 1 else ""
    return (f"held-out real data{size}{owner}", "", "", "")


def _floor_cell(floor: dict[str, float], column: Column) -> Cell:
    values = [floor.get(metric, math.nan) for metric in column.metrics]
    if not all(math.isfinite(value) for value in values):
        return Cell(EMPTY)
    return Cell(" / ".join(f"{value:z.{column.decimals}f}" for value in values))
