"""Whether two tables of the same runs agree: one committed, one of a reproduction.

On the same platform a reproduction is bit-identical. On another one, rounding differs, trainings
drift apart, and the two rows are compared as two measurements of one number, of which the spread
over seeds is known.
"""

import csv
import io
import math
import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
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

LEVEL = 0.0015
"""Two-sided, of the quantiles of Student's t by which two means are compared.

A row is then called "disagrees" in less than 0.6 % of honest repetitions with other seeds, measured
on normal draws of three couplings with three seeds each: 0.02 % of all rows, 0.2 % of one that
scatters three times as much as the others, 0.5 % of a best row whose mean ± sd is clear of the
others', where all couplings are equal. Such a row lies low and has alike seeds by chance: at four
fixed standard errors of the committed spread, 12 % of those would disagree."""

SCATTER = 3.0
"""Beyond so many known spreads the new seeds' own no longer widens what is allowed."""

RULE = (
    "identical: every seed's score and the hashes of samples, data and extractor are the same. "
    "agrees: |new mean - committed mean| <= t s sqrt(1/n + 1/n') for one of two spreads s over "
    "seeds: that of the row's own, committed and new (n + n' - 2 degrees of freedom; a new "
    f"deviation counts up to {SCATTER:g} times the known, unless that is 0), or the pooled one "
    "(root mean square of sd/mean over the committed rows of this metric and number of steps on "
    "this data set, weighted by n - 1, their degrees of freedom, times the row's mean; rows of one "
    "seed have it alone). n and n' are the numbers of seeds, t is Student's quantile, two-sided at "
    f"{LEVEL:.2%}: less than 0.6 % of an honest repetition's rows disagree, a best row that lies "
    "clear of the others included. not comparable: settings, protocol or versions of the stages "
    "differ, or no committed row of several seeds tells the spread."
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
    def coupling(self) -> str:
        """Name of its coupling, whatever sampling started from."""
        return names.coupling_of(self.text["coupling"])

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
            place, one = (whole.experiment, coupling), replace(whole, couplings={coupling: label})
            if not one.runs():
                continue
            try:
                frame = tidy(collect([one]))
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
    spreads: "Mapping[Key, Pooled] | None" = None,
) -> list[Finding]:
    """Judge every committed row by RULE, in its order; then name fresh rows that are not there.

    Args:
        committed, fresh: by `read_rows`.
        reasons: why the runs of (experiment, coupling) gave no rows.
        spreads: by `relative_spreads`; of the committed rows if left out.
    """
    spreads = relative_spreads(committed.values()) if spreads is None else spreads
    found = []
    for key, old in committed.items():
        new = fresh.get(key)
        if new is None:
            place = old.text["experiment"], old.coupling
            why = reasons.get(place, "the reproduction has no such row")
            found.append(Finding("missing", old.name, why))
        else:
            found.append(_judge(old, new, spreads.get(old.kind)))
    return found + [Finding("new", row.name) for key, row in fresh.items() if key not in committed]


@dataclass(frozen=True)
class Pooled:
    """Standard deviation over seeds, relative to the mean, and its degrees of freedom."""

    relative: float
    freedom: int


def relative_spreads(rows: Iterable[TableRow]) -> dict[Key, Pooled]:
    """Root mean square of sd/|mean| by `TableRow.kind`, over the rows with several seeds."""
    members: dict[Key, list[tuple[float, int]]] = {}
    for row in rows:
        ratio = row.sd / abs(row.mean) if row.mean else math.nan
        if math.isfinite(ratio):
            members.setdefault(row.kind, []).append((ratio, row.n - 1))
    found = {}
    for kind, parts in members.items():
        freedom = sum(each for _, each in parts)
        square = sum(each * ratio**2 for ratio, each in parts) / freedom
        found[kind] = Pooled(math.sqrt(square), freedom)
    return found


def _judge(old: TableRow, new: TableRow, pooled: Pooled | None) -> Finding:
    other = [column for column in _CONDITIONS if old.text[column] != new.text[column]]
    if other:
        return Finding("not comparable", old.name, f"{', '.join(other)} differ")
    hashes = [column for column in _HASHES if old.text[column] != new.text[column]]
    if not hashes and old.scores == new.scores:
        return Finding("identical", old.name, f"{old.mean:.4g}")
    detail = f"{old.mean:.4g} -> {new.mean:.4g}"
    also = [f"{column} differs" for column in hashes if column != "samples_sha256"]
    if old.text["floor"] != new.text["floor"]:
        also.append(f"held-out real data {old.text['floor']} -> {new.text['floor']}")
    note = "".join(f"; {part}" for part in also)
    if not (math.isfinite(old.mean) and math.isfinite(new.mean)):
        return Finding("disagrees", old.name, f"{detail}; a score is not finite{note}")
    allowed = tolerance(old, new, pooled)
    if math.isnan(allowed):
        why = "no committed row of several seeds says how much this metric may vary"
        return Finding("not comparable", old.name, f"{detail}; {why}{note}")
    detail += f", a difference up to {allowed:.2g} is within the spread"
    if allowed > abs(old.mean):
        detail += " (so few seeds tell little)"
    within = abs(new.mean - old.mean) <= allowed
    return Finding("agrees" if within else "disagrees", old.name, detail + note)


def tolerance(old: TableRow, new: TableRow, pooled: Pooled | None) -> float:
    """The largest difference of means that RULE takes for chance; NaN if no spread is known."""
    borrowed = 0.0 if pooled is None else pooled.relative * abs(old.mean)
    if pooled is None and old.n < 2:
        return math.nan
    wide = 0.0 if pooled is None else student(pooled.freedom) * borrowed
    if freedom := old.n + new.n - 2:
        # Alike seeds, such as of a share that is 0 in all, do not say how much they may scatter.
        most = SCATTER * max(borrowed, old.sd if old.n > 1 else 0) or math.inf
        parts = ((old.n, old.sd), (new.n, min(new.sd, most)))
        square = sum((n - 1) * sd**2 for n, sd in parts if n > 1) / freedom
        wide = max(wide, student(freedom) * math.sqrt(square))
    return wide * math.sqrt(1 / old.n + 1 / new.n)


@cache
def student(freedom: int) -> float:
    """Quantile of Student's t that |t| exceeds with probability LEVEL."""
    from scipy.special import stdtrit  # a tenth of a second, which the other commands save

    return float(stdtrit(freedom, 1 - LEVEL / 2))
