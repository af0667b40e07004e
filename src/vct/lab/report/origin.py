"""What a run was made with and from, as `vct show` and the report tell it."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import yaml

from vct.lab.files.layout import PREPARED_FILE, RunId, dataset_dir, extractor_dir
from vct.lab.records import RunRecord
from vct.lab.runs.audit import Check, Records

_STAGES = {"train": "model.safetensors", "sample": "samples.npz", "score": "metrics.json"}
"""The stages of a run, each with its main file."""


def settings(found: Records) -> list[str]:
    """Code, data and settings of the training, and how samples were drawn."""
    config = found.config
    used = config.settings | ({"sample": found.samples.settings} if found.samples else {})
    text = yaml.safe_dump(used, sort_keys=False, default_flow_style=None)
    code = ", ".join(f"{part} {version}" for part, version in config.code.content().items())
    return [
        f"run: {found.run}",
        f"code: {code}",
        f"data: {dataset_dir(config.dataset)}, sha256 {config.data_sha256}",
        *_license(config),
        *_section(f"settings: sha256 {config.settings_sha256}", text.splitlines()),
    ]


def _license(config: RunRecord) -> list[str]:
    """That of the weights it was trained from, which these then have too."""
    found = config.initial_weights_license
    return [] if found is None else [f"licence of the initial weights, and so of these: {found}"]


def parents(found: Records) -> list[str]:
    """Which files each file was made from."""
    data = str(dataset_dir(found.config.dataset))
    prepared = "" if found.config.prepared_sha256 is None else f", {PREPARED_FILE}"
    lines = [f"model.safetensors <- {data}{prepared}"]
    if found.samples:
        lines.append(f"samples.npz <- model.safetensors, snapshots.safetensors, {data}")
    if found.protocol:
        extractor = found.protocol.extractor
        judge = f", {extractor_dir(extractor.name)}" if extractor else ""
        lines.append(f"metrics.json <- samples.npz, config.json, {data}{judge}")
    return _section("parents:", lines)


def times(run: RunId, logged: list[float]) -> list[str]:
    """When files were written, from the disk: results hold no times, so that they can repeat.

    Args:
        logged: milliseconds since 1970 of the rows that training logged, in order.
    """
    lines = []
    if logged:
        first, last = (_utc(stamp / 1000) for stamp in (logged[0], logged[-1]))
        lines.append(f"metrics along training: {first} to {last}")
    for stage, name in _STAGES.items():
        path = run.directory / name
        if path.exists():
            lines.append(f"{name}: {_utc(path.stat().st_mtime)}{_took(stage, run)}")
    return _section("times (UTC):", lines)


def trained(rows: Sequence[Mapping[str, float]], batch: int) -> tuple[str, str]:
    """When a training ended, and how long it computed, without the time in which it stood still.

    Args:
        rows: of its log, in order: `step`, `time` in milliseconds since 1970, `samples_per_s`.
        batch: samples of a step.
    """
    if not rows:
        return "", ""
    steps = [0.0, *(row["step"] for row in rows)]
    speeds = [row.get("samples_per_s", math.nan) for row in rows]
    taken = [(now - last) * batch / speed for (last, now), speed in
             zip(pairwise(steps), speeds, strict=True) if speed > 0]  # fmt: skip
    took = str(timedelta(seconds=round(sum(taken)))) if len(taken) == len(rows) else ""
    return _utc(rows[-1]["time"] / 1000), took


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _took(stage: str, run: RunId) -> str:
    """How long Snakemake's last job of the stage took, where it kept that."""
    path = Path("logs") / stage / f"{run}.tsv"
    try:
        seconds = float(path.read_text(encoding="utf-8").splitlines()[1].split("\t")[0])
    except (OSError, ValueError, IndexError):
        return ""
    return f", took {timedelta(seconds=round(seconds))}"


def checks(found: list[Check]) -> list[str]:
    """Each recorded fact, and whether it still holds."""
    width = max(len(check.state) for check in found)
    lines = [
        f"{check.state:<{width}}  {check.item}" + (f": {check.detail}" if check.detail else "")
        for check in found
    ]
    return _section("checks:", lines)


def _section(heading: str, lines: list[str]) -> list[str]:
    return [heading, *(f"  {line}" for line in lines)]
