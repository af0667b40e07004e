"""`make faults`: do all of it and write results/faults.md, section by section.

Parts may be chosen: python -m faults kills damages engines (with PYTHONPATH=benchmarks).
"""

import argparse
import itertools
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from faults import (
    archives,
    damages,
    engines,
    image_files,
    inputs,
    killing,
    kills,
    label_layouts,
    variants,
    yaml_scalars,
)

PARTS = ("kills", "damages", "inputs", "engines")
INPUTS = (inputs, yaml_scalars, image_files, label_layouts, archives)
"""Each has `try_all(folder, count)`: how often what came out, and in words each that is wrong."""
REPORT = Path(__file__).parents[2] / "results" / "faults.md"


def main() -> int:
    """Run the chosen parts; return 0 if everything survived."""
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=list(PARTS))
    parser.add_argument("--kills", type=int, default=100, help="at least so many SIGKILLs")
    parser.add_argument("--inputs", type=int, default=2000, help="wrong or odd inputs of each kind")
    options = parser.parse_args()
    # Shells start what runs in the background deaf to Ctrl-C, and so would be all that we start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    functions = {
        "kills": lambda folder: kills_part(folder, options.kills),
        "damages": damages_part,
        "inputs": lambda folder: inputs_part(folder, options.inputs),
        "engines": engines_part,
    }
    failed = 0
    for part in options.parts or PARTS:
        folder = Path(tempfile.mkdtemp(prefix="vct-faults-"))
        begin = time.monotonic()
        lines, problems = functions[part](folder)
        command = f"PYTHONPATH=benchmarks python -m faults {part}"
        lines += ["", f"{time.monotonic() - begin:.0f} s; again: `{command}`."]
        print("\n".join(lines))
        _report("\n".join(lines))
        failed += problems
        shutil.rmtree(folder)
    return 1 if failed else 0


def _report(section: str) -> None:
    """Put a section into the report, in place of an older one with its heading."""
    text = REPORT.read_text() if REPORT.exists() else "# Faults that were tried\n"
    head, *old = text.split("\n## ")
    heading = section.split("\n")[0]
    kept = [f"## {each.strip()}" for each in old if f"## {each}".split("\n")[0] != heading]
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text("\n\n".join([head.strip(), *sorted([*kept, section.strip()])]) + "\n")


def kills_part(folder: Path, wanted: int) -> tuple[list[str], int]:
    """Kill trainings of all variants in turn, twice at least, until there were `wanted` kills."""
    project, every = folder / "project", variants.variants()
    variants.make(project)
    killing.run(project, "check")  # starts the server, so that references are timed without it
    references = {}
    trials: list[kills.Trial] = []
    while sum(trial.kills for trial in trials) < wanted or len(trials) < 2 * len(every):
        number = len(trials)
        variant = every[number % len(every)]
        if variant not in references:
            references[variant] = kills.reference(project, variant, folder / f"reference{number}")
        trials.append(
            kills.trial(
                project,
                variant,
                folder / f"trial{number}",
                references[variant],
                1 + number % 3,
                number,
            )
        )
        _progress(
            f"{sum(trial.kills for trial in trials)}/{wanted} kills, {variant}",
            trials[-1].identical,
        )
    return _kills_table(trials), sum(not trial.identical for trial in trials)


def _kills_table(trials: list[kills.Trial]) -> list[str]:
    done, same = Counter[str](), Counter[str]()
    killed = Counter[str]()
    for trial in trials:
        key = str(trial.variant)
        done[key] += 1
        same[key] += trial.identical
        killed[key] += trial.kills
    lines = [
        "## SIGKILL during training",
        "",
        "Each training is killed one to three times, before a random operation on a file or after",
        "a random time, goes on, and is sampled from; all files of its run are compared with those",
        "of an undisturbed one, byte by byte. A thread reads 0, 2 or 5 batches ahead, each attempt",
        "another number. `gc` is generator-augmented, over a variational coupling.",
        "",
        "| variant | trainings | kills | identical |",
        "| --- | ---: | ---: | ---: |",
    ]
    lines += [f"| {key} | {done[key]} | {killed[key]} | {same[key]} |" for key in done]
    total = (sum(done.values()), sum(killed.values()), sum(same.values()))
    return [*lines, f"| **all** | {total[0]} | {total[1]} | {total[2]} |"]


def damages_part(folder: Path) -> tuple[list[str], int]:
    """Try each fault on one training."""
    project, variant = folder / "project", variants.Variant("variational", "ict", "ve", "points")
    variants.make(project)
    expected = kills.reference(project, variant, folder / "reference")
    lines = ["## Faults around a training", "", "| fault | outcome |", "| --- | --- |"]
    problems = 0
    for number, (name, fault) in enumerate(damages.FAULTS.items()):
        copy = folder / f"fault{number}"
        shutil.copytree(project, copy)
        problem = fault(copy, variant, expected).replace("\n", " ")
        lines.append(f"| {name} | {problem or 'survived'} |")
        problems += bool(problem) and not problem.startswith("not tried")
        _progress(name, not problem)
    return lines, problems


def inputs_part(folder: Path, count: int) -> tuple[list[str], int]:
    """Give `vct check` and `vct data` what is wrong or odd."""
    lines = [
        "## Wrong and odd inputs",
        "",
        "So many of each kind are drawn at random and read; what is taken is compared with what it",
        "must be, byte by byte where nothing is rounded. The last column counts what went wrong:",
        "silent differences, good inputs that are refused, tracebacks.",
        "",
        "| inputs | tried | outcomes | wrong |",
        "| --- | ---: | --- | ---: |",
    ]
    every: list[str] = []
    for kind in INPUTS:
        outcomes, bad = kind.try_all(folder / kind.__name__, count)
        came = ", ".join(f"{number} {name}" for name, number in sorted(outcomes.items()))
        what = " ".join((kind.__doc__ or "").split(":")[0].split())
        lines.append(f"| {what} | {count} | {came} | {len(bad)} |")
        every += bad
        _progress(what, not bad)
    return [*lines, *([""] if every else []), *[f"- {line}" for line in every[:20]]], len(every)


def engines_part(folder: Path) -> tuple[list[str], int]:
    """Hit both engines in each stage by each signal."""
    project = folder / "project"
    engines.make(project)
    expected = engines.undisturbed(project, folder / "undisturbed")

    def attempt(names: tuple[str, str]) -> engines.Assault:
        found = engines.assault(project, folder / "-".join(names), *names, expected)
        _progress(f"{found}", not found.problem)
        return found

    # As many as there are cores: each is one process at a time.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        every = list(pool.map(attempt, itertools.product(engines.ENGINES, engines.SIGNALS)))
    return _engines_table(every), sum(bool(one.problem) for one in every)


def _engines_table(every: list[engines.Assault]) -> list[str]:
    lines = [
        "## Engines under fire",
        "",
        "A project is hit in every stage, one after the other, at a random moment; each time the",
        "same command is given again (`snakemake --cores 1`, `dvc repro`), until it has finished.",
        "Compared with an undisturbed run of Snakemake: all files in data/ and results/, byte by",
        "byte; the files in dvc.lock; in MLflow the run's status, and how often it has each step.",
        "No temporary file may be left. A command that is too early, as a stage has outlived its",
        "engine, names that stage's process and stops.",
        "",
        "| engine | hit by | in (after seconds of CPU time) | commands | too early | outcome |",
        "| --- | --- | --- | ---: | ---: | --- |",
    ]
    for one in every:
        late = "" if one.recorded else "; dvc.lock after `vct record cpu`"
        outcome = one.problem.replace("\n", " ") or f"same results{late}"
        hits = ", ".join(f"{hit.stage} ({hit.moment:.1f})" for hit in one.hits)
        numbers = f"{one.commands} | {one.waited}"
        lines.append(f"| {one.engine} | {one.signal} | {hits} | {numbers} | {outcome} |")
    total = sum(len(one.hits) for one in every)
    good = sum(not one.problem for one in every)
    return [*lines, "", f"{total} hits; {good} of {len(every)} projects with the same results."]


def _progress(text: str, good: bool) -> None:
    print(f"{'ok  ' if good else 'BAD '} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
