"""The stages of a suite for DVC.

dvc.yaml at the top is the default suite's and is kept in git; another suite's goes to
`dvc/<suite>/dvc.yaml`, with the same stages and command lines, and runs by
`dvc repro dvc/<suite>/dvc.yaml`. Couplings and seeds of a stage come from params.yaml by `matrix`;
table, figures and plots name their runs, so the file is written again when a suite's experiments,
couplings, seeds, data sets, extractors or metrics change.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from vct.lab.files.layout import (
    DIAGNOSTICS_FILE,
    EXPLANATION_FILES,
    FIGURES,
    PREPARED_FILE,
    PRIOR_FILE,
    SAMPLE_FILES,
    SCORE_FILES,
    TABLE_FILES,
    TRACKED_FILE,
    TRACKING_READY,
    dataset_dir,
    extractor_dir,
    floor_file,
    pretrained_files,
    pretrained_name,
    pretrained_source,
)
from vct.lab.settings.params import Params
from vct.lab.workflow import graph
from vct.lab.workflow.graph import DEFAULT_SUITE

VERSIONS = "src/vct/lab/versions.py"

SEED = "${item.seed}"

Stages = dict[str, dict[str, Any]]


def dvc_file(suite: str) -> Path:
    """Where the DVC stages of a suite are."""
    return Path("dvc.yaml") if suite == DEFAULT_SUITE else Path("dvc") / suite / "dvc.yaml"


def text(params: Params, suite: str) -> str:
    """dvc.yaml of a suite."""
    experiments, others = params.suite(suite), _earlier(params, suite)
    up = "" if suite == DEFAULT_SUITE else "../../"
    stages: Stages = {}
    if not up:
        stages["tracking"] = {"cmd": "vct track init", "outs": [str(TRACKING_READY)]}
    for name in experiments:
        stages |= _shared(params, name)
    for name in others:
        for stage in _shared(params, name):
            stages.pop(stage, None)
    for name in experiments:
        if name not in others:
            stages |= _experiment(params, name)
        stages[f"figures-{name}"] = _figures(params, suite, name)
    made = [file for name in experiments for file in _made(params, name)]
    stages["table"] = _of_suite(params, suite, "table", TABLE_FILES, made)
    if graph.diagnosed(params, suite):
        keys = [f"experiments.{name}.diagnostics" for name in graph.diagnosed(params, suite)]
        stages["explain"] = _of_suite(params, suite, "explain", EXPLANATION_FILES, made, *keys)
    # The page holds times, which no two trainings share, so that dvc.lock may hold no hash of it. A
    # stage without outputs would not run in a clone; so another one makes it on the way.
    last = _of_suite(params, suite, "report", (), [*_told(stages), *made])
    stages["scores"] = last | {
        "cmd": [last["cmd"], f"vct track scores {suite}"],
        "outs": [f"results/{suite}/{TRACKED_FILE}"],
    }
    content: dict[str, Any] = {"vars": [f"{up}params.yaml"]} if up else {}
    content["stages"] = {name: {"wdir": up, **it} if up else it for name, it in stages.items()}
    content["plots"] = _plots(params, experiments, up)
    content["artifacts"] = _artifacts(params, experiments, up)
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


def _decided_by(*keys: str, version: str, also: Iterable[str] = ()) -> dict[str, Any]:
    """Keys of params.yaml, and versions of the code, that decide what a stage makes."""
    return {"params": [*keys, {VERSIONS: [version, *also]}]}


def _deps(paths: list[str]) -> dict[str, list[str]]:
    return {"deps": paths} if paths else {}


def _shared(params: Params, experiment: str) -> Stages:
    """What an experiment may share with others: data, extractor, statistics, published weights."""
    train, score = params.experiments[experiment].train, params.experiments[experiment].score
    stages = _data(params, train.dataset)
    if score.extractor is not None:
        stages |= _extractor(params, score.extractor)
    for place in graph.statistics(params, experiment):
        stages[f"{place.what}-{place.dataset}-in-{place.extractor}"] = {
            "cmd": f"vct statistics {place}",
            "deps": graph.statistics_inputs(params, place),
            **_decided_by(*graph.own_extractor(params, place.extractor), version="SCORING"),
            "outs": [str(place.file)],
        }
    if checkpoint := pretrained_name(train.initial_weights or ""):
        # The file has no other content under its name, and the command says where to put it.
        stages[f"pretrained-{checkpoint.replace('.', '_')}"] = {
            "cmd": f"vct import-edm {pretrained_source(checkpoint)}",
            "outs": [{str(file): {"persist": True}} for file in pretrained_files(checkpoint)],
        }
    return stages


def _data(params: Params, name: str) -> Stages:
    return {
        f"data-{name}": {
            "cmd": f"vct data {name}",
            **_deps(graph.raw_inputs(params, name)),
            **_decided_by(f"datasets.{name}", version="DATA"),
            "outs": [str(dataset_dir(name))],
        }
    }


def _extractor(params: Params, name: str) -> Stages:
    """The stage of an extractor, and that of the data that it is trained on."""
    dataset = params.extractors[name].trained_on
    weights, metrics = graph.files(str(extractor_dir(name)))
    stage = {
        "cmd": f"vct extractor {name}",
        **_deps(graph.extractor_inputs(params, name)),
        **_decided_by(f"extractors.{name}", version="SCORING"),
        "outs": [weights],
        "metrics": [metrics],
    }
    return {**(_data(params, dataset) if dataset else {}), f"extractor-{name}": stage}


def _experiment(params: Params, name: str) -> Stages:
    """Training, samples and scores of all runs of an experiment, and its floor."""
    here, run = f"experiments.{name}", f"{name}/${{item.coupling}}/seed{SEED}"
    deps = {
        stage: [*dict.fromkeys(path.format(run=f"results/{run}", seed=SEED) for path in paths)]
        for stage, paths in graph.inputs(params, name).items()
    }
    deps["train"].insert(1, str(TRACKING_READY))

    def of_runs(
        stage: str, outs: Iterable[str], *keys: str, version: str, also: Iterable[str] = ()
    ) -> dict[str, Any]:
        return {
            "matrix": {"coupling": f"${{{here}.variants}}", "seed": f"${{{here}.seeds}}"},
            "cmd": f"vct {stage} {run}",
            "deps": deps[stage],
            **_decided_by(*keys, version=version, also=also),
            "outs": [f"results/{run}/{file}" for file in outs],
        }

    trained = (f"{here}.train", f"{here}.couplings.${{item.coupling}}")
    dropping = ["TRAINING_WITH_DROPOUT"] if graph.drops(params, name) else []
    judge = graph.own_extractor(params, params.experiment(name).score.extractor)
    scored = (f"{here}.score", f"{here}.sample", *judge)
    metrics, *others = SCORE_FILES
    prepared = of_runs("prepare", [PREPARED_FILE], *trained, version="PREPARATION")
    prior = of_runs("prior", [PRIOR_FILE], f"{here}.sample", version="SAMPLING")
    looked_at = (f"{here}.diagnostics", *scored)
    diagnosed = of_runs("diagnose", [DIAGNOSTICS_FILE], *looked_at, version="DIAGNOSTICS")
    diagnosed["matrix"] = diagnosed["matrix"] | {"seed": f"${{{here}.diagnostics.seeds}}"}
    return {
        **({f"prepare-{name}": prepared} if graph.prepares(params, name) else {}),
        f"train-{name}": of_runs(
            "train",
            graph.train_files(params, name),
            *trained,
            version="TRAINING",
            also=dropping,
        ),
        **({f"prior-{name}": prior} if graph.fits_prior(params, name) else {}),
        f"sample-{name}": of_runs("sample", SAMPLE_FILES, f"{here}.sample", version="SAMPLING"),
        f"floor-{name}": {
            "cmd": f"vct floor {name}",
            "deps": deps["floor"],
            **_decided_by(*scored, version="SCORING"),
            "outs": [str(floor_file(name))],
        },
        f"score-{name}": {
            **of_runs("score", others, *scored, version="SCORING"),
            "metrics": [f"results/{run}/{metrics}"],
        },
        **({f"diagnose-{name}": diagnosed} if params.experiment(name).diagnostics else {}),
    }


def _rows(name: str) -> list[str]:
    return [f"experiments.{name}.variants", f"experiments.{name}.seeds"]


def _made(params: Params, name: str) -> list[str]:
    """Floor and folders of the runs of an experiment; stray runs beside them do not count."""
    return [str(floor_file(name)), *(str(run.directory) for run in params.runs(name))]


def _told(stages: Stages) -> list[str]:
    """Tables and figures of a suite, which its report shows."""
    names = [name for name in stages if name.startswith(("table", "explain", "figures-"))]
    return [path for name in names for out in stages[name]["outs"] for path in out]


def _figures(params: Params, suite: str, name: str) -> dict[str, Any]:
    return {
        "cmd": f"vct figures {suite}/{name}",
        "deps": [str(dataset_dir(params.experiments[name].train.dataset)), *_made(params, name)],
        **_decided_by(*_rows(name), version="REPORTING"),
        "outs": [{f"results/{suite}/{name}-{figure}.png": {"cache": False}} for figure in FIGURES],
    }


def _of_suite(
    params: Params, suite: str, command: str, outs: Sequence[str], made: list[str], *keys: str
) -> dict[str, Any]:
    return {
        "cmd": f"vct {command} {suite}",
        "deps": made,
        **_decided_by(
            *(row for name in params.suite(suite) for row in _rows(name)),
            f"suites.{suite}",
            *keys,
            version="REPORTING",
        ),
        "outs": [{f"results/{suite}/{file}": {"cache": False}} for file in outs],
    }


def _plots(params: Params, experiments: list[str], up: str) -> list[dict[str, Any]]:
    """Loss and distance along training, all couplings of an experiment (first seed) together."""
    plots = []
    for name in experiments:
        settings = params.experiments[name]
        for title, file, column in (
            ("distance", "trajectory.csv", settings.score.primary),
            ("consistency loss", "training.csv", "consistency_loss"),
        ):
            run = f"{up}results/{name}/{{}}/seed{settings.seeds[0]}/{file}"
            if column:
                lines = {run.format(coupling): column for coupling in settings.variants}
                plots.append({f"{name}, {title}": {"x": "step", "y": lines, "y_label": column}})
    return plots


def _artifacts(params: Params, experiments: list[str], up: str) -> dict[str, dict[str, Any]]:
    """Models by a name of their own, for `dvc artifacts get`: of each coupling the first seed."""
    found = {}
    for name in experiments:
        settings = params.experiments[name]
        for coupling in settings.variants:
            run = f"{name}/{coupling}/seed{settings.seeds[0]}"
            found[f"{name}-{coupling}".lower().replace("_", "-")] = {
                "path": f"{up}results/{run}/model.safetensors",
                "type": "model",
                "desc": f"{run}, {settings.train.steps} steps on {settings.train.dataset}",
            }
    return found
