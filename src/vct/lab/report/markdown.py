"""The readable table as Markdown."""

from collections.abc import Sequence

from vct.lab.report.blocks import HEAD, Block, Cell, Column, Row


def markdown(blocks: Sequence[Block], caption: str) -> str:
    """The caption, then each block as heading, table and protocol."""
    parts = [caption, *(_block(block) for block in blocks)]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    header = [*HEAD, *(_heading(column) for column in block.columns)]
    rule = ["---"] * len(HEAD) + ["---:"] * len(block.columns)
    rows = [row for group in block.groups for row in group] + list(block.floors)
    lines = [_line(header), _line(rule), *(_line(_texts(row)) for row in rows)]
    return f"### {_escape(block.title)}\n\n" + "\n".join(lines) + f"\n\n{_escape(block.protocol)}"


def _heading(column: Column) -> str:
    return _escape(column.label) + (f", {column.sampling}" if column.sampling else "")


def _texts(row: Row) -> list[str]:
    return [*(_escape(text) for text in row.head), *(_cell(cell) for cell in row.cells)]


def _cell(cell: Cell) -> str:
    body = f"**{cell.body}**" if cell.bold else cell.body
    return body if cell.count is None else f"{body} ({cell.count})"


def _line(texts: Sequence[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def _escape(text: str) -> str:
    for character in ("\\", "|", "*", "_", "<"):
        text = text.replace(character, "\\" + character)
    return text
