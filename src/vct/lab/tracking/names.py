"""What MLflow calls a run, its settings and its numbers."""

import getpass
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vct.lab.files.layout import RunId
from vct.lab.records import ProtocolRecord, RunRecord
from vct.lab.report import names
from vct.lab.runs.samples import scored
from vct.lab.settings import score
from vct.lab.tracking.commit import commit_at

TRAINING = "training"
SCORES = "scores"
ALONG = "scores along training"
SPREAD = "variation over seeds sd"
WHOLE = "whole run"
"""Sections of metrics: MLflow shows those whose name begins alike together."""

SAMPLES, PROTOCOL = "vct.samples_sha256", "vct.protocol_sha256"
"""Tags of a scored run: what was scored, and what its scores may be compared with."""

KEY_LENGTH = 250
VALUE_LENGTH = 6000
"""MLflow's limits."""

SOURCE = "src/vct/lab/commands/train.py"
"""Where a training enters the program."""

COMMON = {
    "dataset": "dataset",
    "kernel": "kernel",
    "objective": "objective",
    "network": "network",
    "steps": "steps",
    "batch size": "batch_size",
    "learning rate": "optimizer.learning_rate",
}
"""Parameters that runs of an experiment share, by their key under `train`: few, for comparing
experiments."""


# --- runs --------------------------------------------------------------------------------------


def of_run(run: RunId) -> str:
    """What MLflow calls a run: it shows those of several experiments together, and cuts the end."""
    return f"seed{run.seed} {run.coupling} ({run.experiment})"


def of_row(run: RunId) -> str:
    """What it calls the run above those of a coupling."""
    return f"{run.coupling} ({run.experiment})"


# --- tags --------------------------------------------------------------------------------------


def identity(config: RunRecord) -> dict[str, str]:
    """Tags that tell an MLflow run apart: the run, its settings, its data and the code."""
    return {"vct.run": config.run, **_origin(config)}


def identity_of_row(config: RunRecord) -> dict[str, str]:
    """The same of the runs of a coupling, whatever their seed."""
    return {"vct.row": f"{config.id.experiment}/{config.id.coupling}", **_origin(config)}


def _origin(config: RunRecord) -> dict[str, str]:
    return {
        "vct.settings_sha256": config.settings_sha256,
        "vct.data_sha256": config.data_sha256,
        "vct.code": ", ".join(f"{name} {value}" for name, value in config.code),
    }


def description(config: RunRecord) -> dict[str, str]:
    """Tags to search and group by, of a run and of all runs of its coupling."""
    train = config.settings.get("train", {})
    words = {key: _word(train[key]) for key in ("objective", "kernel", "dataset") if key in train}
    return {"coupling": config.id.coupling, **words}


def of_scores(protocol: ProtocolRecord | None) -> dict[str, str]:
    """Tags that say of which samples, by which protocol, all scores of a run are."""
    if protocol is None:
        return {}
    content = protocol.content()
    found = {SAMPLES: (content.pop("files", None) or {}).get("samples.npz")}
    text = json.dumps(content, sort_keys=True).encode()
    return {key: value for key, value in found.items() if value} | {
        PROTOCOL: hashlib.sha256(text).hexdigest()
    }


def origin(root: Path, since: int) -> dict[str, str]:
    """Tags that fill MLflow's columns Source and User.

    Args:
        root: folder of the project.
        since: when the training began, in milliseconds since 1970; 0 if that is not known.
    """
    tags = {
        "mlflow.user": _user(),
        "mlflow.source.name": SOURCE,
        "mlflow.source.type": "LOCAL",
    }
    if since and (commit := commit_at(root, since)):
        tags["mlflow.source.git.commit"] = commit
    return tags


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in some containers
        return "unknown"


# --- parameters --------------------------------------------------------------------------------


def parameters(config: RunRecord) -> dict[str, str]:
    """What varies in the experiment, then the few settings by which experiments differ.

    The runs of an experiment differ in their coupling and seed alone. All settings are in
    `config.json` beside them.
    """
    train = flatten(config.settings.get("train", {}))
    coupling = config.settings.get("coupling", {})
    found: dict[str, Any] = {"coupling": config.id.coupling, "seed": config.id.seed}
    found |= {
        f"coupling.{key}": _word(value)
        for key, value in coupling.items()
        if value is not None and value != config.id.coupling
    }
    for name, key in COMMON.items():
        value = train.get(key, train.get(f"{key}.kind"))
        if value is not None:
            found[name] = value
    return {
        _cut(key, KEY_LENGTH): _cut(
            value if isinstance(value, str) else json.dumps(value), VALUE_LENGTH
        )
        for key, value in found.items()
    }


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _word(section: Any) -> Any:
    """A setting, or the kind of what a section builds."""
    return section.get("kind", section) if isinstance(section, dict) else section


def _cut(text: str, limit: int) -> str:
    """Cut `text`, with a hash of the whole at its end, since two may begin alike."""
    if len(text) <= limit:
        return text
    mark = f"-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return text[: limit - len(mark)] + mark


# --- metrics -----------------------------------------------------------------------------------


def scores(found: Mapping[str, Any], protocol: ProtocolRecord | None) -> dict[str, Any]:
    """Numbers of metrics.json by name, such as `scores/2 steps FD digits-classifier`."""
    named = {}
    for key, part in found.items():
        if isinstance(part, dict):
            for metric, value in part.items():
                named[score_name(SCORES, metric, key, protocol)] = value
        else:
            named[f"{WHOLE}/{key}"] = part
    return named


def score_name(section: str, metric: str, samples: str, protocol: ProtocolRecord | None) -> str:
    """Name of a metric of the samples with the key `samples`."""
    label = names.metric(metric, protocol) if protocol else score.label(metric)
    return f"{section}/{_plain(f'{names.heading(samples)} {label.short}')}"


def fewest(found: Mapping[str, Any]) -> str:
    """Key of the samples with the fewest steps: those that snapshots were drawn like."""
    return next(iter(scored(found)), "steps1")


def _plain(text: str) -> str:
    """Without what MLflow takes in no name."""
    return re.sub(r" +", " ", re.sub(r"[^\w\-. ]", "", text)).strip()
