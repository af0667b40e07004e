"""The readable table as LaTeX with booktabs, in plain ASCII."""

from collections.abc import Sequence
from itertools import groupby

from vct.lab.report.blocks import HEAD, Block, Cell, Column, Row

_SPECIAL = {
    "\\": r"\textbackslash{}",
    **{character: "\\" + character for character in "_%&#$"},
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "–": "--",
    "é": r"\'e",
}


def latex(blocks: Sequence[Block], caption: str) -> str:
    """One table environment per block; needs the package booktabs."""
    opening = "% Needs \\usepackage{booktabs}.\n"
    return opening + "\n".join(_table(block, caption) for block in blocks)


def escape(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    return "".join(_SPECIAL.get(character, character) for character in text)


def _table(block: Block, caption: str) -> str:
    groups = [[*map(_row, group)] for group in block.groups]
    body = "\n\\addlinespace\n".join("\n".join(group) for group in groups)
    lines = [
        r"\begin{table}",
        r"\centering\small",
        rf"\caption{{\textbf{{{escape(block.title)}.}} {escape(caption)}}}",
        rf"\begin{{tabular}}{{{'l' * len(HEAD)}{'r' * len(block.columns)}}}",
        r"\toprule",
        *_header(block.columns),
        r"\midrule",
        body,
        r"\midrule",
        *(_floor(row) for row in block.floors),
        r"\bottomrule",
        r"\end{tabular}",
        rf"\par\smallskip\footnotesize {escape(block.protocol)}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _header(columns: Sequence[Column]) -> list[str]:
    """Two lines: what is measured, over the numbers of sampling steps."""
    sampling = [*HEAD, *(column.sampling for column in columns)]
    spans, rules = [], []
    at = len(HEAD) + 1
    for label, members in groupby(columns, key=lambda column: column.label):
        width = len(list(members))
        spans.append(rf"\multicolumn{{{width}}}{{c}}{{{escape(label)}}}")
        rules.append(rf"\cmidrule(lr){{{at}-{at + width - 1}}}")
        at += width
    return [_line([""] * len(HEAD) + spans), " ".join(rules), _line(sampling)]


def _row(row: Row) -> str:
    return _line([*(escape(text) for text in row.head), *(_cell(cell) for cell in row.cells)])


def _floor(row: Row) -> str:
    head = rf"\multicolumn{{{len(HEAD)}}}{{l}}{{{escape(row.head[0])}}}"
    return _line([head, *(_cell(cell) for cell in row.cells)])


def _cell(cell: Cell) -> str:
    body = escape(cell.body)
    body = rf"\textbf{{{body}}}" if cell.bold else body
    return body if cell.count is None else f"{body} ({cell.count})"


def _line(texts: Sequence[str]) -> str:
    return " & ".join(texts) + r" \\"
