"""What a suite was repeated against: the committed table, or the runs that git keeps."""

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from vct.lab.errors import UserError
from vct.lab.files.layout import RunId, floor_file, kept_dir
from vct.lab.report.collect import ExperimentRows
from vct.lab.report.reproduction import (
    Finding,
    committed_table,
    compare,
    fresh_rows,
    given_table,
    read_rows,
    relative_spreads,
)
from vct.lab.settings.params import Params

NEEDED = ("config.json", "protocol.json", "metrics.json", "trajectory.csv")
"""Files of a run that was made to its end."""


@dataclass(frozen=True)
class Repetition:
    """The runs of a suite on disk, compared with what git knows of them.

    Args:
        source: what they are compared with.
        findings: of each row.
        extent: how far the suite was repeated, where not in whole.
    """

    source: str
    findings: list[Finding]
    extent: str = ""

    @classmethod
    def of(cls, params: Params, suite: str, against: str | None) -> "Repetition":
        """That of a suite: against the file `against`, else against the runs that git's HEAD keeps,
        else against the table there.

        Raises:
            UserError: if there is nothing to compare, or nothing to compare it with.
        """
        params.suite(suite)
        if against is not None:
            return _with_table(params, suite, *given_table(against))
        with _kept(suite) as root:
            if root is not None:
                return _with_kept(params, suite, root)
        return _with_table(params, suite, *committed_table(suite))


def _with_table(params: Params, suite: str, text: str, source: str) -> Repetition:
    wholes = [ExperimentRows.of(each, params.experiment(each)) for each in params.suite(suite)]
    committed = read_rows(text, source)
    fresh, reasons = fresh_rows(wholes)
    if not fresh:
        raise UserError(
            f"no run of suite {suite} is whole ({next(iter(reasons.values()))}) "
            f"Reproduce it first: snakemake --cores all --config suite={suite}"
        )
    return Repetition(source, compare(committed, fresh, reasons))


@contextmanager
def _kept(suite: str) -> Iterator[Path | None]:
    """The folder of runs that git's HEAD keeps of a suite, for as long as it is looked at; None
    where there is none. What lies in the working tree may be of this very reproduction."""
    path = kept_dir(suite).as_posix()
    command = ["git", "archive", "--format=tar", "HEAD", path]
    try:
        result = subprocess.run(command, capture_output=True, env={**os.environ, "LC_ALL": "C"})
    except FileNotFoundError:
        result = None
    if result is None or result.returncode:
        yield None
        return
    with TemporaryDirectory() as place:
        with tarfile.open(fileobj=io.BytesIO(result.stdout)) as archive:
            for member in filter(tarfile.TarInfo.isfile, archive):
                file, content = Path(place) / member.name, archive.extractfile(member)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content.read() if content else b"")
        yield Path(place) / path


def _with_kept(params: Params, suite: str, root: Path) -> Repetition:
    """Rows of the runs that are kept and were made here too, of the same seeds."""
    runs = [run for name in params.suite(suite) for run in params.runs(name)]
    every = {run: replace(run, root=root) for run in runs if _is_whole(replace(run, root=root))}
    if not every:
        raise UserError(f"{kept_dir(suite)} of git's HEAD holds no run of suite {suite}.")
    again = {run: run for run in every if _is_whole(run)}
    if not again:
        raise UserError(
            f"none of the {len(every)} runs that {kept_dir(suite)} keeps was made here; make some: "
            f"snakemake --cores all results/{next(iter(every))}/metrics.json, or all: remove that "
            f"folder, and snakemake --cores all --config suite={suite}"
        )
    old, unread = fresh_rows(_rows(params, suite, {run: every[run] for run in again}, root))
    fresh, reasons = fresh_rows(_rows(params, suite, again, None))
    whole, _ = fresh_rows(_rows(params, suite, every, root))
    found = compare(old, fresh, reasons, relative_spreads(whole.values()))
    # Rows of which one side has none were not compared, whatever the other one says.
    found = [each for each in found if each.state != "new"]
    found += [Finding("not comparable", "/".join(place), why) for place, why in unread.items()]
    found += [
        Finding("missing", "/".join(place), why)
        for place, why in reasons.items()
        if not any(place == (row.text["experiment"], row.coupling) for row in old.values())
    ]
    extent = f", as far as {len(again)} of {len(every)} runs were made again"
    return Repetition(f"{kept_dir(suite)} of git's HEAD", found, extent)


def _rows(
    params: Params, suite: str, places: dict[RunId, RunId], root: Path | None
) -> Iterator[ExperimentRows]:
    """Rows of runs at their places, with the floors of the folder `root`, or of here where there
    are some."""
    for name in params.suite(suite):
        floor = floor_file(name)
        if root is not None or not floor.exists():
            floor = (root or kept_dir(suite)) / name / floor.name
        whole = ExperimentRows.of(name, params.experiment(name))
        yield replace(whole, places=places, floor=floor)


def _is_whole(run: RunId) -> bool:
    return all((run.directory / name).exists() for name in NEEDED)
