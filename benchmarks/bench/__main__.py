"""`make bench`: measure everything and write results/benchmarks.md, section by section."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import torch

from bench import around, commands, compiled, steps
from vct.lab.files.whole import write_text
from vct.lab.processes.streams import say

REPORT = Path(__file__).parents[2] / "results" / "benchmarks.md"
NOTES = Path(__file__).with_name("notes.md")
SECTIONS: dict[str, Callable[[], list[str]]] = {
    "A training step": steps.table,
    "Compilation": compiled.table,
    "Plans": around.plans,
    "Around a step": lambda: [*around.bookkeeping(), *around.waiting()[1:]],
    "Samples and scores": around.sampling,
    "Memory": commands.peaks,
    "Commands with nothing to do": commands.table,
    "Scaling": around.scaling,
}


def main() -> None:
    """Measure, and write."""
    torch.set_num_threads(1)
    begin, parts = time.monotonic(), []
    for number, (title, measure) in enumerate(SECTIONS.items(), 1):
        say(f"[{number}/{len(SECTIONS)}] {title}")
        parts.append("\n".join([f"## {title}", "", *measure(), ""]))
        _write(parts, (time.monotonic() - begin) / 60)
    say(f"{REPORT.relative_to(Path.cwd())} is written")


def _write(parts: list[str], minutes: float) -> None:
    """The report as far as it goes."""
    head = (
        "# Benchmarks\n\n`make bench` wrote this. Times are of the CPU, with one thread, of things "
        f"that took turns, and are shown as ratios: PyTorch {torch.__version__}, "
        f"{os.cpu_count()} cores, "
        f"{minutes:.0f} minutes.\n\n"
    )
    write_text(REPORT, head + "\n".join(parts) + "\n" + NOTES.read_text())


if __name__ == "__main__":
    main()
