"""`vct show RUN`: what a run was made with and from, when, and whether its files are still that."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from vct.lab.files.layout import RunId, dataset_dir, extractor_dir
from vct.lab.runs.provenance import PROBLEMS, Check, Records, check_all
from vct.lab.settings.params import Params
from vct.lab.tracking.run import RunFiles

STAGES = {"train": "model.safetensors", "sample": "samples.npz", "score": "metrics.json"}
"""The stages of a run, each with its main file."""


def show(params: Params, name: str) -> int:
    """Print a run's record and compare it with the disk.

    Returns:
        2 if a file or a setting differs from what was recorded, or a recorded file is missing;
        else 0. What no stage has made yet is no problem.
    """
    records = Records.read(RunId.parse(name))
    found = check_all(params, records)
    print("\n".join([*_head(records), *_parents(records), *_times(records), *_checks(found)]))
    states = Counter(check.state for check in found)
    print(f"{name}: " + ", ".join(f"{count} {state}" for state, count in states.items()))
    return 2 if any(states[state] for state in PROBLEMS) else 0


def _head(records: Records) -> list[str]:
    config = records.config
    code = config.get("code")
    versions = code.items() if isinstance(code, dict) else ()
    used = dict(config["settings"])
    if records.samples:
        used["sample"] = records.samples["settings"]
    settings = yaml.safe_dump(used, sort_keys=False, default_flow_style=None)
    return [
        f"run: {records.run}",
        f"code: {', '.join(f'{part} {version}' for part, version in versions)}",
        f"data: {dataset_dir(records.dataset)}, sha256 {config['data_sha256']}",
        f"settings: sha256 {config['settings_sha256']}",
        *_indented(settings.splitlines()),
    ]


def _parents(records: Records) -> list[str]:
    data = str(dataset_dir(records.dataset))
    lines = [f"model.safetensors <- {data}"]
    if records.samples:
        lines.append(f"samples.npz <- model.safetensors, snapshots.safetensors, {data}")
    if records.protocol:
        extractor = records.extractor
        judge = f", {extractor_dir(extractor['name'])}" if extractor else ""
        lines.append(f"metrics.json <- samples.npz, config.json, {data}{judge}")
    return ["parents:", *_indented(lines)]


def _times(records: Records) -> list[str]:
    """When files were written, from the disk: results hold no times, so that they can repeat."""
    run = records.run
    lines = []
    if (run.state / "log.jsonl").exists():
        rows = RunFiles(Path(), run).rows()
        if rows:
            first, last = (_utc(row["time"] / 1000) for row in (rows[0], rows[-1]))
            lines.append(f"metrics along training: {first} to {last}")
    for stage, name in STAGES.items():
        path = run.directory / name
        if path.exists():
            lines.append(f"{name}: {_utc(path.stat().st_mtime)}{_took(stage, run)}")
    return ["times (UTC):", *_indented(lines)]


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


def _checks(found: list[Check]) -> list[str]:
    width = max(len(check.state) for check in found)
    lines = [
        f"{check.state:<{width}}  {check.item}" + (f": {check.detail}" if check.detail else "")
        for check in found
    ]
    return ["checks:", *_indented(lines)]


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]
