"""Whether two tables of the same runs agree: one committed, one of a reproduction.

On the same platform a reproduction is bit-identical. On another one, rounding differs, trainings
drift apart, and the two rows are compared as two measurements of one number, of which the spread
over seeds is known.
"""

import csv
import io
import math
import os
import statistics
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from vct.lab.errors import UserError
from vct.lab.files.layout import suite_dir
from vct.lab.report import names
from vct.lab.report.collect import ExperimentRows, collect
from vct.lab.report.summary import ORIGIN, ROW, tidy
from vct.lab.report.table import to_csv

State = Literal["identical", "agrees", "disagrees", "not comparable", "missing", "new"]

FAILURES: tuple[State, ...] = ("disagrees", "not comparable", "missing")

FACTOR = 4.0
"""Of three couplings with three seeds each, 0.6 % of the rows of an honest repetition with other
seeds lie beyond (measured on 200,000 normal draws); with 3 it would be 1.8 %."""

RULE = (
    "identical: every seed's score and the hashes of samples, data and extractor are the same. "
    f"agrees: |new mean - committed mean| <= {FACTOR:g} s sqrt(1/n + 1/n'), n and n' being the "
    "numbers of seeds, and s the larger of the committed row's own standard deviation over seeds "
    "and the pooled one (root mean square of sd/mean over the committed rows of this metric and "
    "number of steps on this data set, times the row's mean; rows of one seed have it alone). "
    "not comparable: settings, protocol or versions of the stages differ."
)

_CONDITIONS = ("settings_sha256", "protocol_sha256", "versions")
_HASHES = ("samples_sha256", "extractor_sha256", "reference_sha256")

NEEDED = (*ROW, "metric", "steps", "mean", "sd", "n", "floor", *ORIGIN)
"""Columns of a table that can be compared."""

Key = tuple[str, ...]
"""ROW, metric and steps, as table.csv spells them."""


@dataclass(frozen=True)
class TableRow:
    """One row of table.csv: its numbers as text, since equal floats are written equally."""

    text: Mapping[str, str]

    @property
    def key(self) -> Key:
        return tuple(self.text[column] for column in (*ROW, "metric", "steps"))

    @property
    def name(self) -> str:
        """`mixture/ot w2, 1 step`."""
        steps = f", {names.steps(int(self.text['steps']))}" if self.text["steps"] else ""
        return f"{self.text['experiment']}/{self.text['coupling']} {self.text['metric']}{steps}"

    @property
    def kind(self) -> Key:
        """Rows that may borrow each other's relative spread."""
        return self.text["dataset"], self.text["metric"], self.text["steps"]

    @property
    def mean(self) -> float:
        return _float(self.text["mean"])

    @property
    def sd(self) -> float:
        return _float(self.text["sd"])

    @property
    def n(self) -> int:
        return int(self.text["n"])

    @property
    def scores(self) -> dict[str, str]:
        """What the runs gave, by seed, with their mean and the floor."""
        kept = {name: text for name, text in self.text.items() if name.startswith("seed") and text}
        return {**kept, "mean": self.text["mean"], "floor": self.text["floor"]}


@dataclass(frozen=True)
class Finding:
    """What the comparison says of one row."""

    state: State
    row: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.state:<14}  {self.row}" + (f": {self.detail}" if self.detail else "")


def committed_table(suite: str) -> tuple[str, str]:
    """The table.csv of a suite in git's HEAD, and what to call it.

    Raises:
        UserError: if git or the table is not there.
    """
    path = suite_dir(suite) / "table.csv"
    remedy = f"name a table: vct verify {suite} --against FILE."
    command = ["git", "show", f"HEAD:./{path.as_posix()}"]
    try:
        result = subprocess.run(command, capture_output=True, env={**os.environ, "LC_ALL": "C"})
    except FileNotFoundError:
        raise UserError(
            f"git is not installed, so there is no committed {path}; {remedy}"
        ) from None
    if result.returncode:
        said = result.stderr.decode(errors="replace").strip().splitlines()[:1]
        why = "".join(said).removeprefix("fatal: ")
        raise UserError(f"git has no committed {path} ({why}); {remedy}")
    return result.stdout.decode(errors="replace"), f"{path} of git's HEAD"


def given_table(path: str) -> tuple[str, str]:
    """The table in a file, and what to call it.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8"), path
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise UserError(f"{path} cannot be read: {why}; give a table.csv.") from None


def fresh_rows(
    experiments: Iterable[ExperimentRows],
) -> tuple[dict[Key, TableRow], dict[tuple[str, str], str]]:
    """Rows of the runs on disk, and why a coupling of an experiment has none."""
    found: dict[Key, TableRow] = {}
    reasons: dict[tuple[str, str], str] = {}
    for whole in experiments:
        for coupling, label in whole.couplings.items():
            place = whole.experiment, coupling
            try:
                frame = tidy(collect([replace(whole, couplings={coupling: label})]))
            except UserError as error:
                reasons[place] = str(error)
            else:
                found |= read_rows(to_csv(frame), f"the rows of {'/'.join(place)}")
    return found, reasons


def read_rows(text: str, source: str) -> dict[Key, TableRow]:
    """Rows of a table.csv.

    Args:
        text: its content.
        source: where it is from, for messages.

    Raises:
        UserError: if it is no table of this version of the program.
    """
    reader = csv.DictReader(io.StringIO(text))
    rows: dict[Key, TableRow] = {}
    try:
        columns = reader.fieldnames or ()
        lacking = [name for name in NEEDED if name not in columns]
        for line in () if lacking else reader:
            row = TableRow(line)
            if None in line or None in line.values() or row.n < 1 or row.key in rows:
                raise ValueError
            row.mean, row.sd, row.name  # noqa: B018
            rows[row.key] = row
    except (ValueError, csv.Error):
        raise UserError(
            f"{source} is damaged at line {reader.line_num}; restore it or give another table."
        ) from None
    if not rows:
        what = f"has no column {lacking[0]}" if lacking else "has no rows"
        raise UserError(
            f"{source} {what}: it is no table.csv, or one of an older version; give another table."
        )
    return rows


def _float(text: str) -> float:
    return float(text) if text else math.nan


def compare(
    committed: Mapping[Key, TableRow],
    fresh: Mapping[Key, TableRow],
    reasons: Mapping[tuple[str, str], str],
) -> list[Finding]:
    """Judge every committed row by RULE, in its order; then name fresh rows that are not there.

    Args:
        committed, fresh: by `read_rows`.
        reasons: why the runs of (experiment, coupling) gave no rows.
    """
    spreads = relative_spreads(committed.values())
    found = []
    for key, old in committed.items():
        new = fresh.get(key)
        if new is None:
            place = old.text["experiment"], old.text["coupling"]
            why = reasons.get(place, "the reproduction has no such row")
            found.append(Finding("missing", old.name, why))
        else:
            found.append(_judge(old, new, spreads.get(old.kind, math.nan)))
    return found + [Finding("new", row.name) for key, row in fresh.items() if key not in committed]


def relative_spreads(rows: Iterable[TableRow]) -> dict[Key, float]:
    """Root mean square of sd/|mean| by `TableRow.kind`, over the rows with several seeds."""
    squares: dict[Key, list[float]] = {}
    for row in rows:
        ratio = row.sd / abs(row.mean) if row.mean else math.nan
        if math.isfinite(ratio):
            squares.setdefault(row.kind, []).append(ratio**2)
    return {kind: math.sqrt(statistics.mean(values)) for kind, values in squares.items()}


def _judge(old: TableRow, new: TableRow, relative: float) -> Finding:
    other = [column for column in _CONDITIONS if old.text[column] != new.text[column]]
    if other:
        return Finding("not comparable", old.name, f"{', '.join(other)} differ")
    hashes = [column for column in _HASHES if old.text[column] != new.text[column]]
    if not hashes and old.scores == new.scores:
        return Finding("identical", old.name, f"{old.mean:.4g}")
    change = f"{old.mean:.4g} -> {new.mean:.4g}"
    also = [column for column in hashes if column != "samples_sha256"]
    note = f"; {', '.join(also)} differ" if also else ""
    allowed = tolerance(old, new.n, relative)
    if math.isnan(allowed):
        why = f"{change}; no row of several seeds says how much this metric may vary"
        return Finding("disagrees", old.name, why + note)
    within = abs(new.mean - old.mean) <= allowed
    detail = f"{change}, a difference up to {allowed:.2g} is within the spread{note}"
    return Finding("agrees" if within else "disagrees", old.name, detail)


def tolerance(old: TableRow, new_n: int, relative: float) -> float:
    """The largest difference of means that RULE takes for chance; NaN if no spread is known."""
    known = [s for s in (old.sd, relative * abs(old.mean)) if math.isfinite(s)]
    return FACTOR * max(known) * math.sqrt(1 / old.n + 1 / new_n) if known else math.nan
