"""The model card of an export: what was trained on what, how good it is, how to load it."""

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.records import ExportRecord, ProtocolRecord, RunRecord
from vct.lab.report import names, protocol
from vct.lab.reuse.description import run_of, scored
from vct.lab.reuse.model import LoadedModel
from vct.lab.runs import provenance, samples
from vct.lab.settings.data import AnyDataset

FILE = "README.md"
UNKNOWN = "not stated; their owner decides"


def text(model: LoadedModel, record: ExportRecord, license: str | None) -> str:
    """The card in Markdown, with the header that the Hub reads."""
    run, train = record.run, model.settings.train
    coupling = model.settings.coupling.label or model.settings.coupling.member
    teacher = model.settings.coupling.teacher_run(run.id.seed)
    taught = "" if teacher is None else f", whose pairs the flow of {teacher} made,"
    parts = [
        _header(model, record, license),
        f"# {run.run}",
        f"A {_kind(model)} of {record.data.name}, trained from scratch with the coupling "
        f"*{coupling}*{taught} for {train.steps:,} steps of {train.batch_size} samples, seed "
        f"{run.id.seed}; {run.summary['parameters']:,} parameters."
        if run.initial_weights_sha256 is None
        else f"A {_kind(model)} of {record.data.name}, tuned with the coupling *{coupling}*"
        f"{taught} for {train.steps:,} steps from {_start(train.initial_weights)}.",
        "![Samples](preview.png)",
        "## How to load",
        _usage(model),
        "## Scores",
        *_scores(model, record),
        "## Data",
        f"`{record.data.name}`: {record.data.train:,} samples for training, {record.data.test:,} "
        f"held out, shape {tuple(record.data.shape)}; SHA-256 of the content "
        f"`{record.data.sha256}`. Licence: {_data_license(record)}.",
        "## Licence of the weights",
        f"{license or UNKNOWN}.",
        "## Origin",
        f"Settings `{run.settings_sha256[:16]}`, weights `{record.files['model.safetensors'][:16]}`"
        f" (SHA-256), vct {run.code.vct}, version {run.code.training} of its training. All "
        "settings are in `config.json` under `run.settings`.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _start(initial_weights: str | None) -> str:
    run = RunId.of_weights(initial_weights or "")
    return "published weights" if run is None else f"the weights of the run {run}"


def _kind(model: LoadedModel) -> str:
    objective = model.settings.train.objective
    return {"consistency": "consistency model", "denoiser": f"{objective.label} model"}.get(
        objective.trains or "", "model"
    )


def _header(model: LoadedModel, record: ExportRecord, license: str | None) -> str:
    header: dict[str, Any] = {"library_name": "vct", "license": license or "unknown"}
    if not model.description.data().is_points:
        kind = "image-to-image" if model.restores else "unconditional-image-generation"
        header["pipeline_tag"] = kind
    header["tags"] = ["consistency-models", "noise-coupling", model.settings.coupling.member]
    return f"---\n{yaml.safe_dump(header, sort_keys=False)}---"


def _usage(model: LoadedModel) -> str:
    lines = ["import vct", "", 'model = vct.load("FOLDER")  # this folder']
    # A number that is another class's name is refused.
    labels = f", labels={[*model.class_names, 0][0]!r}" if model.classes else ""
    prior = f', prior="{model.priors[-1]}"' if len(model.priors) > 1 else ""
    if model.restores:
        lines.append(f"x = model.sample(16, seed=0{labels}, inputs=y)  # of images y to restore")
    else:
        lines.append(f"x = model.sample(16, seed=0{labels}{prior})  # {(16, *model.shape)}")
    words = "```python\n" + "\n".join(lines) + "\n```"
    own = sorted(model.description.record.run.own_code or {})
    if own:
        words += f"\n\nIt needs code that is not in this folder: {', '.join(own)}."
    return words


def _scores(model: LoadedModel, record: ExportRecord) -> Iterator[str]:
    found = record.protocol
    if found is None:
        yield "This model was not scored."
        return
    spread = _spread(model.description.folder, record)
    lines = ["| samples | metric | this model | over seeds |", "| --- | --- | ---: | --- |"]
    for key, numbers in samples.scored(record.scores).items():
        if isinstance(numbers, dict):
            lines += [
                f"| {names.heading(key)} | {_metric(metric, found)} | {number:.4g} | "
                f"{spread.get((key, metric), 'this one alone')} |"
                for metric, number in numbers.items()
                if number is not None
            ]
    yield "\n".join(lines)
    yield protocol.sentence({record.run.id.experiment: found})


def _metric(key: str, found: ProtocolRecord) -> str:
    label = names.metric(key, found)
    return label.label + (" ↓" if label.lower_is_better else " ↑" if label.higher_is_better else "")


def _spread(folder: Path, record: ExportRecord) -> dict[tuple[str, str], str]:
    """Mean and standard deviation over the seeds that lie beside this run, by key and metric; of
    those that were trained on the same data with the same settings, and scored alike."""
    values: dict[tuple[str, str], list[float]] = {}
    for path in sorted(folder.parent.glob("seed*/metrics.json")):
        try:
            run = run_of(path.parent)
            trained, (judged, content) = provenance.read_run(run), scored(run)
        except UserError:
            continue
        if not judged or _facts(trained, judged) != _facts(record.run, record.protocol):
            continue
        for key, numbers in content.items():
            if isinstance(numbers, dict):
                for metric, number in numbers.items():
                    if number is not None:
                        values.setdefault((key, metric), []).append(float(number))
    return {
        place: f"{statistics.mean(found):.4g} ± {statistics.stdev(found):.2g} ({len(found)})"
        for place, found in values.items()
        if len(found) > 1
    }


def _facts(run: RunRecord, judged: ProtocolRecord | None) -> tuple[Any, ...]:
    shared = judged and protocol.conditions(judged)
    return run.settings_sha256, run.data_sha256, run.code.training, shared


def _data_license(record: ExportRecord) -> str:
    try:
        settings = TypeAdapter(AnyDataset).validate_python(record.data.source)
    except ValidationError:
        return UNKNOWN
    return settings.license or UNKNOWN
