"""A training step: beside the yardstick, beside its own convolutions, and what dropout takes."""

import tempfile
from pathlib import Path

import torch

from bench import pieces, yardstick
from bench.subjects import SUBJECTS, Subject, trainer
from bench.timing import medians, ratio, share

HEAD = (
    "| images | coupling | plain / ours | at least | step / its convolutions and products "
    "| at most | dropout | under | gradients differ by |\n|---|---|---|---|---|---|---|---|---|"
)


def table(rounds: int = 5) -> list[str]:
    """Lines of Markdown."""
    rows = [HEAD]
    for name, subject in SUBJECTS.items():
        for coupling in subject.couplings(0):
            rows.append(row(name, subject, coupling, rounds))
    return rows


def row(name: str, subject: Subject, coupling: str, rounds: int) -> str:
    """Of one coupling."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        ours = trainer(subject, root, subject.couplings(0.3)[coupling])
        bare = trainer(subject, root, subject.couplings(0.0)[coupling], dropout=0.0)
        found = f"{yardstick.difference(bare):.0e}"
        plain = yardstick.Yardstick(ours)
        each = 16 if subject.pixels < 16 else 1
        cases = {"ours": ours._step, "plain": plain.step, "bare": bare._step}
        times = medians(cases, rounds, each)
        alone = pieces.seconds(lambda: ours._step(10_000))
    gain, over = times["plain"] / times["ours"], times["ours"] / alone
    limit = "–" if subject.pixels < 28 else "1.25"
    dropout = (times["ours"] - times["bare"]) / times["ours"]
    cells = [name, coupling, ratio(gain), "1.5", ratio(over), limit, share(dropout), "3 %", found]
    return "| " + " | ".join(cells) + " |"


def peak(kind: str) -> None:
    """Print the most memory, in MB, that three steps of a kind add to a process."""
    torch.set_num_threads(1)
    subject = SUBJECTS["32 px"]
    with tempfile.TemporaryDirectory() as folder:
        ours = trainer(subject, Path(folder), {"kind": "independent"}, batch=32)
        step = ours._step if kind == "ours" else yardstick.Yardstick(ours).step
        before = _held("VmRSS")
        for each in range(3):
            step(each)
        print(_held("VmHWM") - before)


def _held(what: str) -> float:
    """MB of a line of /proc/self/status; `resource` would count what a parent held."""
    (line,) = (line for line in Path("/proc/self/status").read_text().split("\n") if what in line)
    return int(line.split()[1]) / 1024
