"""A suite of experiments made small: each at its real architecture and resolution, for a few steps.

It tells an installation that works from one that does not, before GPUs are paid for. No number of
it is a result, so all carry other names: experiments and feature extractors are called `smoke-...`,
and data sets in whose place MNIST images stand `stand-in-...`.
"""

import hashlib
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

from vct.lab.errors import UserError
from vct.lab.files.layout import (
    NAME,
    RAW,
    RunId,
    pretrained_files,
    pretrained_name,
    pretrained_source,
)
from vct.lab.settings import reading
from vct.lab.settings.averages import PostHocSettings
from vct.lab.settings.data import DatasetSettings, ImageFolderSettings, TorchvisionSettings
from vct.lab.settings.experiment import ExperimentSettings
from vct.lab.settings.extractors import ClassifierSettings, ExtractorSettings, InceptionSettings
from vct.lab.settings.params import Params

PREFIX, STAND_IN = "smoke-", "stand-in-"
BATCH, SAMPLES = 2, 4
TRAIN, TEST = 128, 64
"""Images of a data set: enough for every metric, few enough to be scored on a CPU in a minute."""
MOST_TRAIN = 4000
"""Stand-ins have no more."""
DIAGNOSTICS = {
    "batches": 8,
    "levels": 2,
    "pairs": 64,
    "points": 2,
    "permutations": 19,
    "redraws": 2,
}
HEUN_STEPS = 3
MOST, DIGITS = 55, 8
"""Letters kept of a name that is too long, and digits of its hash."""
SIZE, CLASSES = 64, 10
"""Of stand-ins for images of which only the files know."""


def reduced_suite(params: Params, suite: str, steps: int) -> Params:
    """The settings of a suite for trainings of `steps` steps on a CPU.

    Networks, resolutions, classes, kernels, objectives, couplings and averages stay; batches, data
    and numbers of samples shrink. Whether data, published checkpoints and the Inception weights are
    at hand is seen from the project's folders.

    Raises:
        UserError: if there is no such suite.
    """
    members = params.suite(suite)
    if steps < 2 and any(params.experiments[name].train.ema.times_kept for name in members):
        raise UserError("--steps must be at least 2, as averages are kept in this suite.")
    experiments = {name: params.experiments[name] for name in _with_starts(params, members)}
    names = {one.score.extractor for one in experiments.values()} - {None}
    extractors = {str(name): params.extractors[str(name)] for name in sorted(map(str, names))}
    data = {one.train.dataset for one in experiments.values()}
    data |= {one.trained_on for one in extractors.values() if one.trained_on is not None}
    sets = {name: params.datasets[name] for name in sorted(data)}
    called = {
        name: name if _at_hand(settings) else smoke_name(name, STAND_IN)
        for name, settings in sets.items()
    }
    seeds = _seeds(experiments)
    content = {
        "datasets": {called[name]: _data(name, settings) for name, settings in sets.items()},
        "extractors": {
            smoke_name(name): _extractor(settings, called) for name, settings in extractors.items()
        },
        "experiments": {
            smoke_name(name): _experiment(one, seeds[name], steps, called, extractors)
            for name, one in experiments.items()
        },
        "suites": {smoke_name(suite): [smoke_name(name) for name in members]},
        "runtime": _runtime(params),
    }
    return reading.validate(content, "the smoke suite")


def smoke_name(name: str, prefix: str = PREFIX) -> str:
    """What a thing is called in a smoke suite: never longer than a name may be, and never alike."""
    longer = prefix + name
    if NAME.fullmatch(longer):
        return longer
    return f"{longer[:MOST]}-{hashlib.sha256(name.encode()).hexdigest()[:DIGITS]}"


def _with_starts(params: Params, names: list[str]) -> list[str]:
    """The experiments, and those from whose runs they start."""
    found = list(names)
    for name in found:
        one = params.experiments[name]
        runs = [RunId.of_weights(one.train.initial_weights or "")]
        runs += [coupling.teacher_run(0) for coupling in one.couplings.values()]
        found += [run.experiment for run in runs if run and run.experiment not in found]
    return found


# --- data and extractors ---------------------------------------------------------------------


def _at_hand(settings: DatasetSettings) -> bool:
    """Whether a data set can be made here and now, without a download."""
    if isinstance(settings, ImageFolderSettings):
        raw = RAW / settings.raw
        return any(raw.iterdir()) if raw.is_dir() else raw.exists()
    if isinstance(settings, TorchvisionSettings):
        from vct.lab.data.sources.torchvision_sets import files

        return all(file.is_file() for file in files(settings.name))
    return True


def _data(name: str, settings: DatasetSettings) -> dict[str, Any]:
    """A part of the data set, or coloured MNIST images of its shape and classes."""
    given = settings.model_dump(mode="json")
    if isinstance(settings, TorchvisionSettings | ImageFolderSettings):
        if not _at_hand(settings):
            return _stand_in(name, settings)
        # A conditional training wants an image of each class.
        classes = given.get("classes") or 0
        given["limit"] = max(TRAIN, classes) + TEST
        if isinstance(given.get("test"), int):
            given["test"] = min(given["test"], TEST)
    return given


def _stand_in(name: str, settings: DatasetSettings) -> dict[str, Any]:
    channels, size = 3 if settings.is_colour else 1, SIZE
    classes = CLASSES if settings.has_labels else 0
    if settings.facts:
        (channels, size, _), known = settings.facts
        classes = classes if known is None else known
    shape = {"size": size, "channels": channels, "classes": classes}
    train = min(max(TRAIN, classes), MOST_TRAIN)
    return {"source": "stand_in", "of": name, **shape, "train": train, "test": TEST}


def _extractor(settings: ExtractorSettings, called: dict[str, str]) -> dict[str, Any]:
    if not _has_weights(settings):
        return {"kind": "efficientnet-lite0"}
    given = settings.model_dump(mode="json")
    if settings.trained_on is not None:
        given["dataset"] = called[settings.trained_on]
    if isinstance(settings, ClassifierSettings):
        given["epochs"] = 1
    return given


def _has_weights(settings: ExtractorSettings) -> bool:
    if not isinstance(settings, InceptionSettings):
        return True
    from vct.lab.metrics.extractors.inception import FILE

    return FILE.is_file()


# --- experiments -----------------------------------------------------------------------------


def _seeds(experiments: dict[str, ExperimentSettings]) -> dict[str, list[int]]:
    """The first of each experiment, and of teachers those of the runs that they teach."""
    found = {name: one.seeds[:1] for name, one in experiments.items()}
    for name, one in experiments.items():  # teachers come after those that they teach
        for coupling, seed in itertools.product(one.couplings.values(), found[name]):
            run = coupling.teacher_run(seed)
            if run is not None and seed not in found[run.experiment]:
                found[run.experiment] = [*found[run.experiment], seed]
    return found


def _experiment(
    one: ExperimentSettings,
    seeds: list[int],
    steps: int,
    called: dict[str, str],
    extractors: dict[str, ExtractorSettings],
) -> dict[str, Any]:
    given = one.model_dump(mode="json")
    given["seeds"] = seeds
    train, sample, score = given["train"], given["sample"], given["score"]
    train |= {
        "dataset": called[one.train.dataset],
        "batch_size": min(one.train.batch_size, BATCH),
        "steps": steps,
        "log_every": 1,
        "snapshots": 0,
        "initial_weights": _start(one.train.initial_weights),
    }
    for coupling in given["couplings"].values():
        inner = coupling.get("base", coupling)
        if "teacher" in inner:
            experiment, _, of = inner["teacher"].partition("/")
            inner |= {"teacher": f"{smoke_name(experiment)}/{of}", "pairs": SAMPLES}
            if "steps" in inner["sampler"]:
                inner["sampler"]["steps"] = min(inner["sampler"]["steps"], HEUN_STEPS)
    if isinstance(one.train.ema, PostHocSettings):
        train["ema"]["kept"] = min(one.train.ema.kept, max(2, steps))
    sample |= {
        "num_samples": min(one.sample.num_samples, SAMPLES),
        "batch_size": min(one.sample.batch_size, SAMPLES),
        "snapshot_samples": 0,
    }
    sampler = sample.get("sampler", {})
    if "steps" in sampler:
        sampler["steps"] = min(sampler["steps"], HEUN_STEPS)
    if one.diagnostics is not None:
        given["diagnostics"] |= DIAGNOSTICS | {"seeds": given["seeds"]}
    if one.score.extractor is not None:
        score["extractor"] = smoke_name(one.score.extractor)
        if not _has_weights(extractors[one.score.extractor]):
            extras = score.get("extras", [])
            score["extras"] = [each for each in extras if each != "inception_score"]
    return given


def _start(initial_weights: str | None) -> str | None:
    """Where a training starts: random weights where a published checkpoint is not at hand."""
    run = RunId.of_weights(initial_weights or "")
    if run is not None:
        renamed = replace(run, experiment=smoke_name(run.experiment))
        return f"results/{renamed}/model.safetensors"
    checkpoint = pretrained_name(initial_weights or "")
    if checkpoint is not None and not checkpoint_files(checkpoint):
        return None
    return initial_weights


def checkpoint_files(name: str) -> list[Path]:
    """What there is of a published checkpoint: the file itself, or what it was imported to."""
    imported = list(pretrained_files(name))
    if pretrained_source(name).is_file():
        return [pretrained_source(name)]
    return imported if all(path.is_file() for path in imported) else []


def _runtime(params: Params) -> dict[str, Any]:
    alone = {"device": "cpu", "gpus": 0, "processes": None, "micro_batch": None}
    return {**params.runtime.model_dump(mode="json"), **alone, "threads": 1}
