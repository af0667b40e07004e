"""What the engines ask: which files a stage of this suite reads and writes."""

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vct.lab.errors import UserError
from vct.lab.files.layout import (
    AVERAGES_FILE,
    DATA_FILES,
    EXTRACTOR_FILES,
    FIGURES,
    NAME,
    RAW,
    TABLE_FILES,
    TRACKED_FILE,
    TRAIN_FILES,
    RunId,
    dataset_dir,
    extractor_dir,
    floor_file,
    pretrained_name,
    suite_dir,
)
from vct.lab.settings import reading, registry
from vct.lab.settings.extractors import ClassifierSettings
from vct.lab.settings.params import Params
from vct.lab.settings.run import run_settings

DEFAULT_SUITE = "cpu"


def from_snakemake(config: dict[str, Any]) -> tuple[str, Params]:
    """Suite and settings from Snakemake's config, which params.yaml filled.

    Raises:
        UserError: if params.yaml is wrong, or if a setting came from the command line: the stages
            read params.yaml, so such a setting would do nothing.
    """
    content = {key: value for key, value in config.items() if key != "suite"}
    suite = config.get("suite", DEFAULT_SUITE)
    params = reading.load()
    if reading.validate(content, "the configuration") != params:
        raise UserError(
            "--config sets the suite alone (--config suite=NAME); change other settings in "
            "params.yaml, where every stage reads them."
        )
    return str(suite), params


def is_whole(dag: Any) -> bool:
    """Whether Snakemake was asked for everything, by its settings of the DAG, and not to touch."""
    asked = set(dag.targets) <= {"all"}
    cut = dag.until or dag.omit_from or dag.allowed_rules or dag.batch
    return asked and not cut and not {"--touch", "-t"} & set(sys.argv)


def check_targets(params: Params, targets: Iterable[str]) -> None:
    """Refuse a word of the command line that is a file of no experiment, coupling or data set.

    Raises:
        UserError: with the nearest names.
    """
    name = NAME.pattern
    for target in map(str, targets):
        if found := re.match(rf"results/({name}/{name}/seed\d+)/", target):
            run_settings(params, RunId.parse(found[1]))
        elif found := re.fullmatch(rf"results/({name})/floor\.json", target):
            params.experiment(found[1])
        found = re.match(rf"data/(?!{RAW.name}/)({name})/", target)
        if found and found[1] not in params.datasets:
            raise UserError(registry.unknown("data set", found[1], params.datasets))


def data_files(dataset: str) -> list[str]:
    """Files of a data set."""
    return [str(dataset_dir(dataset) / file) for file in DATA_FILES]


def raw_inputs(params: Params, dataset: str) -> list[str]:
    """What the user puts under data/raw for a data set: an archive or a folder.

    Downloads are no inputs: their checksums are fixed, and the data stage fetches them itself.
    """
    raw = params.datasets[dataset].raw_input
    return [] if raw is None else [str(RAW / raw)]


def raw_inputs_known(params: Params, dataset: str) -> list[str]:
    """The raw inputs, unless neither they nor the data set have been here yet.

    Snakemake lists no stage at all where an input is missing that no stage makes; so the data
    stage is started, and says what to put where.
    """
    raw = raw_inputs(params, dataset)
    made = (dataset_dir(dataset) / "meta.json").exists()
    return [path for path in raw if made or Path(path).exists()]


def data_files_of(params: Params, experiment: str) -> list[str]:
    """Files of an experiment's data set."""
    return data_files(params.experiment(experiment).train.dataset)


def keeps_averages(params: Params, experiment: str) -> bool:
    """Whether trainings of an experiment keep averages, to rebuild others from."""
    return bool(params.experiment(experiment).train.ema.times_kept)


def train_files(params: Params, experiment: str) -> tuple[str, ...]:
    """What a training of this experiment writes into the folder of its run."""
    extra = (AVERAGES_FILE,) if keeps_averages(params, experiment) else ()
    return (*TRAIN_FILES, *extra)


def initial_weights(params: Params, experiment: str) -> list[str]:
    """The weights that trainings of an experiment start from, if a stage makes them: those of a run
    or of an imported checkpoint."""
    path = params.experiment(experiment).train.initial_weights
    made = path is not None and (RunId.of_weights(path) or pretrained_name(path))
    return [path] if path is not None and made else []


def checkpoint_of(params: Params, experiment: str) -> str | None:
    """Name of the published checkpoint that trainings of an experiment start from, if any."""
    return pretrained_name(params.experiment(experiment).train.initial_weights or "")


def files_to_sample(params: Params, experiment: str) -> list[str]:
    """What sampling a run of this experiment reads in its folder."""
    rebuilds = params.experiment(experiment).sample.ema_width is not None
    extra = [AVERAGES_FILE] if rebuilds else []
    return ["model.safetensors", "config.json", "snapshots.safetensors", *extra]


def extractor_files_of(params: Params, experiment: str) -> list[str]:
    """Files of an experiment's feature extractor; none where points are scored."""
    name = params.experiment(experiment).score.extractor
    return [] if name is None else [str(extractor_dir(name) / file) for file in EXTRACTOR_FILES]


def extractor_data(params: Params, name: str) -> str | None:
    """The data set that an extractor is trained on; None for one with published weights.

    Their file is no input: its checksum is fixed, and without it the stage says what is missing.
    """
    settings = params.extractors[name]
    return settings.dataset if isinstance(settings, ClassifierSettings) else None


def extractor_inputs(params: Params, name: str) -> list[str]:
    """What making an extractor reads."""
    dataset = extractor_data(params, name)
    return [] if dataset is None else data_files(dataset)


def table_inputs(params: Params, suite: str) -> list[str]:
    """What the table reads."""
    files = ("metrics.json", "config.json", "protocol.json")
    return _floors(params, suite) + _of_runs(suite_runs(params, suite), files)


def figure_inputs(params: Params, experiment: str) -> list[str]:
    """What the figures of an experiment read."""
    files = ("training.csv", "trajectory.csv", "samples.npz")
    data = data_files_of(params, experiment)
    return [str(floor_file(experiment)), *data, *_of_runs(params.runs(experiment), files)]


def suite_files(params: Params, suite: str) -> list[str]:
    """Tables and figures of a suite."""
    figures = [f"{name}-{figure}.png" for name in params.suite(suite) for figure in FIGURES]
    return [str(suite_dir(suite) / file) for file in (*TABLE_FILES, *figures, TRACKED_FILE)]


def suite_runs(params: Params, suite: str) -> list[RunId]:
    """All runs of a suite."""
    return [run for name in params.suite(suite) for run in params.runs(name)]


def rows_of(config: dict[str, Any], experiment: str) -> dict[str, Any]:
    """What decides which rows an experiment has, as params.yaml spells it."""
    rows = {key: config["experiments"][experiment][key] for key in ("variants", "seeds")}
    return {"experiment": experiment, **rows}


def _floors(params: Params, suite: str) -> list[str]:
    return [str(floor_file(name)) for name in params.suite(suite)]


def _of_runs(runs: Iterable[RunId], files: tuple[str, ...]) -> list[str]:
    return [str(run.directory / file) for run in runs for file in files]
