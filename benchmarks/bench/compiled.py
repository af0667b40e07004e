"""What compiling a network costs and gains: `python -m bench.compiled SUBJECT` prints one try."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from bench.subjects import SUBJECTS, trainer
from bench.timing import medians, ratio

HEAD = (
    "| images | seconds until a step is compiled | the same from a filled cache "
    "| step / compiled step | steps until it pays |\n|---|---|---|---|---|"
)


def table(subjects: tuple[str, ...] = ("8 px", "28 px")) -> list[str]:
    """Lines of Markdown; each try is a process of its own, as a run of a suite is."""
    rows = [HEAD]
    for name in subjects:
        with tempfile.TemporaryDirectory() as cache:
            cold, warm = _try(name, cache), _try(name, cache)
        saved = warm["eager"] - warm["compiled"]
        pays = f"{warm['until'] / saved:,.0f}" if saved > 0 else "never"
        gain = ratio(warm["eager"] / warm["compiled"])
        cells = [name, f"{cold['until']:.0f}", f"{warm['until']:.0f}", gain, pays]
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def _try(name: str, cache: str) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.compiled", name]
    environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": cache}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measured(name: str, rounds: int = 5) -> dict[str, float]:
    """Seconds: `until` a first compiled step is done, on the wall; then of both kinds of step."""
    subject = SUBJECTS[name]
    with tempfile.TemporaryDirectory() as folder:
        coupling = subject.couplings(0.3)["independent"]
        kinds = {
            kind: trainer(subject, Path(folder, kind), coupling, compiled=kind == "compiled")
            for kind in ("eager", "compiled")
        }
        begin = time.perf_counter()
        kinds["compiled"]._step(0)
        until = time.perf_counter() - begin
        steps = {kind: training._step for kind, training in kinds.items()}
        return {"until": until, **medians(steps, rounds, 16 if subject.pixels < 16 else 1)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(measured(sys.argv[1])))
