"""The stages of a suite for DVC.

dvc.yaml at the top is the default suite's and is kept in git; another suite's goes to
`dvc/<suite>/dvc.yaml`, with the same stages and command lines, and runs by
`dvc repro dvc/<suite>/dvc.yaml`. Couplings and seeds of a stage come from params.yaml by `matrix`;
table, figures and plots name their runs, so the file is written again when a suite's experiments,
couplings, seeds, data sets or extractors change.
"""

from pathlib import Path
from typing import Any

import yaml

from vct.lab.files.layout import (
    EXTRACTOR_FILES,
    FIGURES,
    SAMPLE_FILES,
    SCORE_FILES,
    TABLE_FILES,
    TRACKED_FILE,
    TRACKING_READY,
    floor_file,
    pretrained_files,
    pretrained_source,
)
from vct.lab.settings.params import Params
from vct.lab.workflow.graph import (
    DEFAULT_SUITE,
    checkpoint_of,
    extractor_data,
    files_to_sample,
    initial_weights,
    raw_inputs,
    train_files,
)

RUN = "results/{experiment}/${{item.coupling}}/seed${{item.seed}}"
VERSIONS = "src/vct/lab/versions.py"


def dvc_file(suite: str) -> Path:
    """Where the DVC stages of a suite are."""
    return Path("dvc.yaml") if suite == DEFAULT_SUITE else Path("dvc") / suite / "dvc.yaml"


def text(params: Params, suite: str) -> str:
    """dvc.yaml of a suite."""
    experiments = params.suite(suite)
    content: dict[str, Any] = {}
    up = "" if suite == DEFAULT_SUITE else "../../"
    if up:
        content["vars"] = [f"{up}params.yaml"]
    made_before = _earlier(params, suite)
    stages = _shared(params, suite, experiments, made_before)
    for name in experiments:
        if name not in made_before:
            stages |= _experiment(params, name)
        stages[f"figures-{name}"] = _figures(params, suite, name)
    made = [file for name in experiments for file in _made(params, name)]
    stages["table"] = _table(suite, experiments, made)
    stages["scores"] = {
        "cmd": f"vct track scores {suite}",
        "deps": made,
        "outs": [f"results/{suite}/{TRACKED_FILE}"],
    }
    if up:
        stages = {name: {"wdir": up, **stage} for name, stage in stages.items()}
    content |= {"stages": stages, "plots": _plots(params, experiments, up)}
    header = f"# Written by: vct dvc {suite}. Couplings and seeds come from params.yaml.\n"
    return header + yaml.dump(content, Dumper=_Plain, sort_keys=False, width=100)


class _Plain(yaml.SafeDumper):
    """Writes equal parts out, without YAML's anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _earlier(params: Params, suite: str) -> list[str]:
    """Experiments of the suites before: DVC lets one stage alone make a file."""
    others = [name for name in params.suites if name != DEFAULT_SUITE]
    order = [name for name in (DEFAULT_SUITE, *others) if name in params.suites]
    return [name for each in order[: order.index(suite)] for name in params.suite(each)]


def _shared(
    params: Params, suite: str, experiments: list[str], made_before: list[str]
) -> dict[str, Any]:
    """Data, extractors, imported checkpoints and the tracking database."""

    def used(names: list[str], attribute: str) -> list[str]:
        settings = [params.experiments[name] for name in names]
        if attribute == "dataset":
            return [one.train.dataset for one in settings]
        if attribute == "checkpoint":
            return [name for one in names if (name := checkpoint_of(params, one))]
        return [one.score.extractor for one in settings if one.score.extractor]

    def new(attribute: str) -> list[str]:
        before = used(made_before, attribute)
        return [name for name in dict.fromkeys(used(experiments, attribute)) if name not in before]

    stages: dict[str, Any] = {}
    if suite == DEFAULT_SUITE:
        stages["tracking"] = {"cmd": "vct track init", "outs": [str(TRACKING_READY)]}
    for name in new("dataset"):
        raw = raw_inputs(params, name)
        stages[f"data-{name}"] = {
            "cmd": f"vct data {name}",
            **({"deps": raw} if raw else {}),
            "params": [f"datasets.{name}", {VERSIONS: ["DATA"]}],
            "outs": [f"data/{name}"],
        }
    for name in new("extractor"):
        dataset = extractor_data(params, name)
        folder = f"results/extractors/{name}"
        stages[f"extractor-{name}"] = {
            "cmd": f"vct extractor {name}",
            **({"deps": [f"data/{dataset}"]} if dataset else {}),
            "params": [f"extractors.{name}", {VERSIONS: ["SCORING"]}],
            "outs": [f"{folder}/{file}" for file in EXTRACTOR_FILES if file != "metrics.json"],
            "metrics": [f"{folder}/metrics.json"],
        }
    for name in new("checkpoint"):
        # The file has no other content under its name, and the command says where to put it.
        stages[f"pretrained-{name.replace('.', '_')}"] = {
            "cmd": f"vct import-edm {pretrained_source(name)}",
            "outs": [{str(file): {"persist": True}} for file in pretrained_files(name)],
        }
    return stages


def _experiment(params: Params, name: str) -> dict[str, Any]:
    settings = params.experiments[name]
    data = f"data/{settings.train.dataset}"
    extractor = settings.score.extractor
    scoring = [f"results/extractors/{extractor}"] if extractor else []
    here, folder = f"experiments.{name}", RUN.format(experiment=name).replace("results/", "", 1)
    run = f"results/{folder}"
    matrix = {"coupling": f"${{{here}.variants}}", "seed": f"${{{here}.seeds}}"}

    def stage(command: str, version: str, keys: list[str], deps: list[str], outs: tuple[str, ...]):
        return {
            "matrix": matrix,
            "cmd": f"vct {command} {folder}",
            "deps": deps,
            "params": [f"{here}.{key}" for key in keys] + [{VERSIONS: [version]}],
            "outs": [f"{run}/{file}" for file in outs],
        }

    keys = ["train", "couplings.${item.coupling}"]
    made = train_files(params, name)
    deps = [data, str(TRACKING_READY), *initial_weights(params, name)]
    train = stage("train", "TRAINING", keys, deps, made)
    deps = [data, *(f"{run}/{file}" for file in files_to_sample(params, name))]
    sample = stage("sample", "SAMPLING", ["sample"], deps, SAMPLE_FILES)
    from_sample = ("config.json", "samples.npz", "preview.png")
    deps = [data, *scoring, *(f"{run}/{file}" for file in from_sample)]
    score = stage("score", "SCORING", ["score", "sample"], deps, SCORE_FILES[1:])
    score["metrics"] = [f"{run}/{SCORE_FILES[0]}"]
    floor = {
        "cmd": f"vct floor {name}",
        "deps": [data, *scoring],
        "params": [f"{here}.score", f"{here}.sample", {VERSIONS: ["SCORING"]}],
        "outs": [f"results/{name}/floor.json"],
    }
    return {
        f"train-{name}": train,
        f"sample-{name}": sample,
        f"floor-{name}": floor,
        f"score-{name}": score,
    }


def _rows(name: str) -> list[str]:
    return [f"experiments.{name}.variants", f"experiments.{name}.seeds"]


def _made(params: Params, name: str) -> list[str]:
    """Floor and folders of the runs of an experiment; stray runs beside them do not count."""
    return [str(floor_file(name)), *(str(run.directory) for run in params.runs(name))]


def _figures(params: Params, suite: str, name: str) -> dict[str, Any]:
    return {
        "cmd": f"vct figures {suite}/{name}",
        "deps": [f"data/{params.experiments[name].train.dataset}", *_made(params, name)],
        "params": [*_rows(name), {VERSIONS: ["REPORTING"]}],
        "outs": [{f"results/{suite}/{name}-{figure}.png": {"cache": False}} for figure in FIGURES],
    }


def _table(suite: str, experiments: list[str], made: list[str]) -> dict[str, Any]:
    return {
        "cmd": f"vct table {suite}",
        "deps": made,
        "params": [row for name in experiments for row in _rows(name)]
        + [{VERSIONS: ["REPORTING"]}],
        "outs": [{f"results/{suite}/{file}": {"cache": False}} for file in TABLE_FILES],
    }


def _plots(params: Params, experiments: list[str], up: str) -> list[dict[str, Any]]:
    """Loss and distance along training, all couplings of an experiment (first seed) together."""
    plots = []
    for name in experiments:
        settings = params.experiments[name]
        extractor = settings.score.extractor
        metric = f"fid_{extractor}" if extractor else "w2"
        for title, file, column in (
            ("distance", "trajectory.csv", metric),
            ("consistency loss", "training.csv", "consistency_loss"),
        ):
            run = f"{up}results/{name}/{{}}/seed{settings.seeds[0]}/{file}"
            lines = {run.format(coupling): column for coupling in settings.variants}
            plots.append({f"{name}, {title}": {"x": "step", "y": lines, "y_label": column}})
    return plots
