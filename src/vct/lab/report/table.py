"""The table of a suite: table.csv to compute with, table.md and table.tex to read."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import pandas as pd

from vct.lab.errors import UserError
from vct.lab.files.whole import write_text
from vct.lab.report import names
from vct.lab.report.blocks import HEAD, Block, Column, Row, blocks
from vct.lab.report.collect import Collected
from vct.lab.report.comparisons import Comparison, comparisons, frame, winners
from vct.lab.report.paired import LEVEL, holm
from vct.lab.report.summary import tidy
from vct.lab.settings.suite import SuiteSettings

_CAPTION = (
    "Mean ± sample standard deviation over training seeds (number of seeds); no run and no "
    "checkpoint was chosen by its score. {arrows}. Held-out real data (number of "
    "items) are scored as samples are: about what a perfect model would get, or more where they "
    "are few. {bold}"
)
_BOLD = (
    "Bold: the best {row} of an experiment with {steps}, the endpoint that was declared before the "
    "runs, only where it is better {than}, paired by seed, with p < {level:g} in sign-flip tests "
    "after Holm's correction over all comparisons of the suite; with n seeds no p is below 2^(1-n)."
)
_NOTHING_BOLD = "Nothing is bold: the suite declares no endpoint to decide by."


def to_csv(frame: pd.DataFrame) -> str:
    """The frame of `tidy` as table.csv holds it."""
    return frame.to_csv(index=False, lineterminator="\n")


def write_table(collected: Collected, directory: Path, suite: SuiteSettings) -> None:
    """Write table.csv, comparisons.csv, table.md and table.tex into `directory`.

    The same scores and records give the same bytes.

    Args:
        suite: what is compared; the experiments are those of `collected`.

    Raises:
        UserError: if there are no scores, or the folder cannot be written to.
    """
    if collected.frame.empty:
        raise UserError(f"{directory}/table.csv would be empty: the suite names no runs; add one.")
    compared = comparisons(collected, suite)
    found = blocks(collected, winners(compared))
    words = caption(found, suite)
    write_text(directory / "table.csv", to_csv(tidy(collected)))
    write_text(directory / "comparisons.csv", to_csv(frame(compared)))
    text = markdown(found, words) + paired_markdown(compared, collected)
    write_text(directory / "table.md", text)
    write_text(directory / "table.tex", latex(found, words))


def caption(found: Sequence[Block], suite: SuiteSettings) -> str:
    """What the reader must know, with the arrows that stand in some heading."""
    bold = _NOTHING_BOLD
    if suite.primary:
        row, than = "row", "than independent noise and than the best of " + ", ".join(suite.rivals)
        if suite.comparisons:
            row, than = "of the compared rows", "in all comparisons that were declared of it"
        bold = _BOLD.format(steps=names.heading(suite.primary), row=row, than=than, level=LEVEL)
    labels = "".join(column.label for block in found for column in block.columns)
    more = ", ↑: more is better" if "↑" in labels else ""
    return _CAPTION.format(arrows=f"↓: less is better{more}", bold=bold)


def _texts(row: Row, special: dict[int, str], bold: str) -> list[str]:
    """A row with its special characters escaped; `bold` has a place for what is bold."""
    texts = [text.translate(special) for text in row.head]
    for cell in row.cells:
        body = cell.body.translate(special)
        count = "" if cell.count is None else f" ({cell.count})"
        texts.append((bold.format(body) if cell.bold else body) + count)
    return texts


# --- Markdown --------------------------------------------------------------------------------

_MARKDOWN = str.maketrans({character: "\\" + character for character in "\\|*_<"})


def markdown(blocks: Sequence[Block], caption: str) -> str:
    """The caption, then each block as heading, table, protocol, and what was published."""
    return "\n\n".join([caption, *map(_section, blocks)]) + "\n"


def _section(block: Block) -> str:
    title, *notes = (text.translate(_MARKDOWN) for text in (block.title, *_notes(block)))
    groups = (*block.groups, block.floors, block.references)
    rows = [row for group in groups for row in group]
    lines = [
        [*HEAD, *map(_heading, block.columns)],
        ["---"] * len(HEAD) + ["---:"] * len(block.columns),
        *(_texts(row, _MARKDOWN, "**{}**") for row in rows),
    ]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([f"### {title}", table, *notes])


_COMPARED = ("experiment", "row", "against", "seeds", "difference [95 %]", "p", "p (Holm)")


def paired_markdown(found: Sequence[Comparison], collected: Collected) -> str:
    """The comparisons of a suite for which there are runs, as a section."""
    if not any(each.is_possible for each in found):
        return ""
    lines = [list(_COMPARED), ["---"] * 3 + ["---:"] * 4]
    for each, p_holm in zip(found, holm([each.p_value for each in found]), strict=True):
        if not each.is_possible:
            continue
        labels, pair = collected.rows(each.experiment), each.pairs[each.best]
        several = "best of the others: " if len(each.against) > 1 else ""
        there = collected.rows(each.opponents)[each.against[each.best]]
        longer = f" ({each.opponents})" if each.opponents != each.experiment else ""
        low, high = pair.interval()
        texts = [each.experiment, labels[each.row], several + there + longer]
        numbers = [
            str(pair.n),
            f"{pair.mean:+.3g} [{low:+.3g}, {high:+.3g}]",
            f"{each.p_value:.2g}",
            f"{p_holm:.2g}",
        ]
        lines.append([text.translate(_MARKDOWN) for text in texts] + numbers)
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    steps = names.heading(found[0].samples)
    head = (
        f"### Paired comparisons, {steps}\n\n"
        "Differences of scores, so turned that less is better, over the seeds that both rows "
        "have, with Student's interval; p of the sign-flip test, and against the best of "
        "several the largest of theirs; corrected over all comparisons that the suite "
        "declares, also those for which there are no two seeds yet."
    )
    return f"\n{head}\n\n{table}\n"


def _notes(block: Block) -> list[str]:
    """What stands under a table."""
    return [text for text in (block.protocol, block.published) if text]


def _heading(column: Column) -> str:
    sampling = f", {column.sampling}" if column.sampling else ""
    return column.label.translate(_MARKDOWN) + sampling


# --- LaTeX with booktabs, in plain ASCII -----------------------------------------------------

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        **{character: "\\" + character for character in "_%&#${}"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "↓": r"$\downarrow$",
        "↑": r"$\uparrow$",
        "–": "--",
        "é": r"\'e",
    }
)


def latex(blocks: Sequence[Block], caption: str) -> str:
    """One table environment per block; needs the package booktabs."""
    opening = "% Needs \\usepackage{booktabs}.\n"
    return opening + "\n".join(_environment(block, escape(caption)) for block in blocks)


def escape(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    return text.translate(_LATEX)


def _environment(block: Block, caption: str) -> str:
    groups = ["\n".join(map(_row, group)) for group in block.groups]
    lines = [
        r"\begin{table}",
        r"\centering\small",
        rf"\caption{{\textbf{{{escape(block.title)}.}} {caption}}}",
        rf"\begin{{tabular}}{{{'l' * len(HEAD)}{'r' * len(block.columns)}}}",
        r"\toprule",
        *_header(block.columns),
        r"\midrule",
        "\n\\addlinespace\n".join(groups),
        r"\midrule",
        *map(_floor, (*block.floors, *block.references)),
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par\smallskip\footnotesize {escape(note)}" for note in _notes(block)),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _header(columns: Sequence[Column]) -> list[str]:
    """Two lines: what is measured, over the numbers of sampling steps."""
    spans, rules = [], []
    at = len(HEAD) + 1
    for label, members in groupby(columns, key=lambda column: column.label):
        width = len(list(members))
        spans.append(rf"\multicolumn{{{width}}}{{c}}{{{escape(label)}}}")
        rules.append(rf"\cmidrule(lr){{{at}-{at + width - 1}}}")
        at += width
    sampling = [*HEAD, *(column.sampling for column in columns)]
    return [_line([""] * len(HEAD) + spans), " ".join(rules), _line(sampling)]


def _row(row: Row) -> str:
    return _line(_texts(row, _LATEX, r"\textbf{{{}}}"))


def _floor(row: Row) -> str:
    head, *cells = _texts(Row(row.head[:1], row.cells), _LATEX, "{}")
    return _line([rf"\multicolumn{{{len(HEAD)}}}{{l}}{{{head}}}", *cells])


def _line(texts: Sequence[str]) -> str:
    return " & ".join(texts) + r" \\"
