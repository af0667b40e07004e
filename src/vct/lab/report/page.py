"""The report of a suite: one page that needs no network, no script and no other file.

It is made of the records of the runs, the pictures beside it and, where they are noted, the times
of the trainings: the same files give the same bytes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from vct.lab.errors import UserError
from vct.lab.files.layout import REPORT_FILE, suite_dir
from vct.lab.files.whole import write_text
from vct.lab.report import (
    diagnostics,
    environment,
    explanation,
    names,
    overview,
    pictures,
    recipes,
    style,
    words,
)
from vct.lab.report.blocks import HEAD, Block, Column, Row, blocks
from vct.lab.report.collect import Collected, ExperimentRows, collect, couplings
from vct.lab.report.comparisons import comparisons, winners
from vct.lab.report.pictures import Picture
from vct.lab.report.recipes import Timed
from vct.lab.report.table import caption
from vct.lab.report.words import Verdict
from vct.lab.settings.params import Params


@dataclass(frozen=True)
class Line:
    """A row of the main table: its name, whose colour it has, and the seeds if all cells agree."""

    label: str
    coupling: str
    seeds: int | None
    row: Row


@dataclass(frozen=True)
class Group:
    """The rows of one experiment."""

    experiment: str
    method: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Table:
    """A block as the page shows it: columns of one metric share a heading."""

    block: Block
    spans: tuple[tuple[str, int], ...]
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Diagnosed:
    """What was measured beside the scores; nothing where the suite asks for nothing."""

    sections: Sequence[diagnostics.Section]
    labels: Mapping[str, Mapping[str, str]]


def write_page(params: Params, suite: str, finished: bool, timed: Timed) -> Path:
    """Write REPORT_FILE of a suite; return where it is.

    Args:
        finished: of the runs that there are; else all must be there.
        timed: tells the times of a run, see `recipes.Timed`.

    Raises:
        UserError: if files are missing or do not belong together, or there is no run.
    """
    rows = ExperimentRows.of_suite(params, suite, finished)
    collected, directory = collect(rows), suite_dir(suite)
    if collected.frame.empty:
        raise UserError(
            f"suite {suite} has no finished run to report; make them first: snakemake --cores all "
            f"--config suite={suite}"
        )
    compared = comparisons(collected, params.suite_settings(suite))
    found, verdicts = recipes.read(rows), words.verdicts(compared, collected)
    made = blocks(collected, winners(compared))
    told = recipes.recipes(collected, found, timed)
    commits = dict.fromkeys(commit for each in told for commit in each.commits)
    labels = {name: label for each in rows for name, label in each.couplings.items()}
    shown = {
        "suite": suite,
        "summary": words.summary(verdicts, params.suite_settings(suite).primary is not None),
        "paragraph": overview.paragraph(rows, found),
        "experiments": overview.experiments(params, rows, found),
        "tables": [_table(block, collected) for block in made],
        "reading": caption(made, params.suite_settings(suite)),
        "endpoint": names.heading(compared[0].samples) if compared else "",
        "verdicts": _by_experiment(verdicts),
        "figures": dict(_figures(params, directory, rows, collected)),
        "explained": pictures.of_explanation(directory, labels),
        "diagnosed": _diagnosed(params, suite, rows, finished),
        "recipes": told,
        "recorded": environment.recorded(found.values(), collected.protocols.values(), commits),
        "here": environment.here(),
        "colours": style.coupling_colours(couplings(rows)),
        "short": recipes.SHORT,
        "finished": finished,
    }
    path = directory / REPORT_FILE
    write_text(path, _templates().get_template("report.html").render(shown))
    return path


def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("vct.lab.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _table(block: Block, collected: Collected) -> Table:
    spans = tuple(
        (label, len(list(members)))
        for label, members in groupby(block.columns, key=lambda column: column.label)
    )
    return Table(block, spans, block.columns, tuple(_groups(block, collected)))


def _groups(block: Block, collected: Collected) -> Iterator[Group]:
    for rows in block.groups:
        head = dict(zip(HEAD, rows[0].head, strict=True))
        keys = collected.rows(head["experiment"])
        lines = tuple(
            Line(row.head[-1], names.coupling_of(key), _seeds(row), row)
            for key, row in zip(keys, rows, strict=True)
        )
        method = f"{head['objective']}, {head['kernel']} kernel"
        yield Group(head["experiment"], method, lines)


def _seeds(row: Row) -> int | None:
    counts = {cell.count for cell in row.cells if cell.count is not None}
    return counts.pop() if len(counts) == 1 else None


def _by_experiment(found: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    made: dict[str, list[Verdict]] = {}
    for each in found:
        made.setdefault(each.comparison.experiment, []).append(each)
    return made


def _figures(
    params: Params, directory: Path, rows: Sequence[ExperimentRows], collected: Collected
) -> Iterator[tuple[str, list[Picture]]]:
    told: set[str] = set()  # how to read pictures of a kind is said once
    for each in rows:
        form = params.dataset(each.dataset).form
        found = pictures.of_experiment(directory, each, form, collected)
        if found:
            yield (
                each.experiment,
                [replace(one, caption="" if one.caption in told else one.caption) for one in found],
            )
        told.update(one.caption for one in found)


def _diagnosed(
    params: Params, suite: str, rows: Sequence[ExperimentRows], finished: bool
) -> Diagnosed:
    mine, found = explanation.read(params, suite, rows, finished)
    labels = {each.experiment: each.couplings for each in mine}
    made = [] if found.empty else diagnostics.sections(found, labels)
    return Diagnosed([each for each in made if each.tables], labels)
