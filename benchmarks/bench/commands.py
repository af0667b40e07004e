"""How long commands take that have nothing to do."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.around import HEAD

ROOT = Path(__file__).parents[2]


def table(rounds: int = 5) -> list[str]:
    """Lines of Markdown; what a suite would have to be made for is said to be missing."""
    here = Path(sys.executable).parent
    rows = [("`vct --help`", f"{seconds([str(here / 'vct'), '--help'], rounds):.2f} s", "0.1 s")]
    if (ROOT / "results" / "digits").exists() and _finished():
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "Snakefile").write_text("rule all:\n    input: []\n")
            empty = seconds([str(here / "snakemake"), "--cores", "1"], rounds, folder)
        idle = seconds([str(here / "snakemake"), "--cores", "all"], rounds)
        rows.append(("`snakemake --cores all` above an empty Snakefile's", f"{idle - empty:.2f} s",
                     "0.5 s"))  # fmt: skip
        status = seconds([str(here / "dvc"), "status", "-q"], 3)
        rows.append(("`dvc status`", f"{status:.1f} s", "5 s"))
    else:
        rows.append(("Snakemake and DVC with nothing to do", "not measured: make run first", ""))
    return [HEAD, *(f"| {' | '.join(row)} |" for row in rows)]


def seconds(command: list[str], rounds: int, folder: str | Path = ROOT) -> float:
    """Median time that a command takes on the wall."""
    found = []
    for _ in range(rounds):
        begin = time.perf_counter()
        subprocess.run(command, cwd=folder, capture_output=True, check=False)
        found.append(time.perf_counter() - begin)
    return statistics.median(found)


def peaks() -> list[str]:
    """Memory that steps add to a process, ours and the yardstick's."""
    found = {
        kind: float(subprocess.check_output(
            [sys.executable, "-c", f"from bench import steps; steps.peak('{kind}')"]))
        for kind in ("ours", "plain")
    }  # fmt: skip
    ratio = f"{found['ours'] / found['plain']:.2f}"
    return [HEAD, f"| peak memory of a step at 32 px, of the plain one's | {ratio} | at most 1 |"]


def _finished() -> bool:
    """Whether Snakemake has nothing to make."""
    command = [str(Path(sys.executable).parent / "snakemake"), "-n", "--quiet"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return "Nothing to be done" in told.stdout + told.stderr
