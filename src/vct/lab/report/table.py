"""The table of a suite: table.csv to compute with, table.md and table.tex to read."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vct.lab.errors import UserError
from vct.lab.files.whole import write_text
from vct.lab.report.blocks import Block, blocks
from vct.lab.report.latex import latex
from vct.lab.report.markdown import markdown
from vct.lab.report.summary import BOLD_RULE, tidy

_CAPTION = (
    "Mean ± sample standard deviation over training seeds (number of seeds); no run and no "
    "checkpoint was chosen by its score. {arrows}. Held-out real data (number of "
    "items) are scored as samples are: about what a perfect model would get, or more where they "
    "are few. " + BOLD_RULE
)


def to_csv(frame: pd.DataFrame) -> str:
    """The frame of `tidy` as table.csv holds it."""
    return frame.to_csv(index=False, lineterminator="\n")


def write_table(frame: pd.DataFrame, directory: Path) -> None:
    """Write table.csv, table.md and table.tex of the frame of `collect` into `directory`.

    The same frame gives the same bytes.

    Raises:
        UserError: if the frame is empty or the folder cannot be written to.
    """
    if frame.empty:
        raise UserError(f"{directory}/table.csv would be empty: the suite names no runs; add one.")
    found = blocks(frame)
    caption = _caption(found)
    write_text(directory / "table.csv", to_csv(tidy(frame)))
    write_text(directory / "table.md", markdown(found, caption))
    write_text(directory / "table.tex", latex(found, caption))


def _caption(found: Sequence[Block]) -> str:
    """What the reader must know, with the arrows that stand in some heading."""
    labels = "".join(column.label for block in found for column in block.columns)
    more = ", ↑: more is better" if "↑" in labels else ""
    return _CAPTION.format(arrows=f"↓: less is better{more}")
