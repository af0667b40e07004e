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
    StatisticsId,
    dataset_dir,
    extractor_dir,
    floor_file,
    pretrained_name,
    suite_dir,
)
from vct.lab.settings import reading
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
        elif found := re.match(rf"results/statistics/({name})/({name})/", target):
            params.dataset(found[1])
            params.extractor(found[2])
        elif found := re.match(rf"data/(?!{RAW.name}/)({name})/", target):
            params.dataset(found[1])


# --- what stages read and write --------------------------------------------------------------


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
    made = (dataset_dir(dataset) / "meta.json").exists()
    return [path for path in raw_inputs(params, dataset) if made or Path(path).exists()]


def data_files(dataset: str | None) -> list[str]:
    """Files of a data set, if there is one."""
    return [] if dataset is None else [str(dataset_dir(dataset) / file) for file in DATA_FILES]


def extractor_inputs(params: Params, extractor: str) -> list[str]:
    """What making an extractor reads; published weights are no input, as their hash is fixed."""
    return data_files(params.extractors[extractor].trained_on)


def extractor_files(extractor: str) -> list[str]:
    """Files of an extractor."""
    return [str(extractor_dir(extractor) / file) for file in EXTRACTOR_FILES]


def experiment_data(params: Params, experiment: str) -> list[str]:
    """Files of an experiment's data set."""
    return data_files(params.experiment(experiment).train.dataset)


def initial_weights(params: Params, experiment: str) -> list[str]:
    """The weights that trainings of an experiment start from, if a stage makes them: those of a run
    or of an imported checkpoint."""
    path = params.experiment(experiment).train.initial_weights
    made = path is not None and (RunId.of_weights(path) or pretrained_name(path))
    return [path] if path is not None and made else []


def keeps_averages(params: Params, experiment: str) -> bool:
    """Whether trainings of an experiment keep averages, to rebuild others from."""
    return bool(params.experiment(experiment).train.ema.times_kept)


def train_files(params: Params, experiment: str) -> tuple[str, ...]:
    """What a training of this experiment writes into the folder of its run."""
    extra = (AVERAGES_FILE,) if keeps_averages(params, experiment) else ()
    return (*TRAIN_FILES, *extra)


def files_to_sample(params: Params, experiment: str) -> list[str]:
    """What sampling a run of this experiment reads in its folder."""
    rebuilds = params.experiment(experiment).sample.ema_width is not None
    extra = [AVERAGES_FILE] if rebuilds else []
    return ["model.safetensors", "config.json", "snapshots.safetensors", *extra]


def extractor(params: Params, experiment: str) -> str | None:
    """The extractor in whose features an experiment is scored; None where none is needed."""
    return params.experiment(experiment).score.extractor


def statistics(params: Params, experiment: str) -> list[StatisticsId]:
    """What scores of an experiment must know of its training images."""
    one, name = params.experiment(experiment), extractor(params, experiment)
    kinds = () if name is None else one.score.statistics
    return [StatisticsId(one.train.dataset, str(name), what) for what in kinds]


def files_to_score(params: Params, experiment: str) -> list[str]:
    """What scores of an experiment read beside samples and data."""
    name = extractor(params, experiment)
    files = [] if name is None else extractor_files(name)
    return files + [str(place.file) for place in statistics(params, experiment)]


# --- what a suite consists of ----------------------------------------------------------------


def suite_runs(params: Params, suite: str) -> list[RunId]:
    """All runs of a suite."""
    return [run for name in params.suite(suite) for run in params.runs(name)]


def suite_files(params: Params, suite: str) -> list[str]:
    """Tables and figures of a suite."""
    figures = [f"{name}-{figure}.png" for name in params.suite(suite) for figure in FIGURES]
    return [str(suite_dir(suite) / file) for file in (*TABLE_FILES, *figures, TRACKED_FILE)]


def table_inputs(params: Params, suite: str) -> list[str]:
    """What the table reads."""
    files = ("metrics.json", "config.json", "protocol.json")
    floors = [str(floor_file(name)) for name in params.suite(suite)]
    return floors + _of_runs(suite_runs(params, suite), files)


def figure_inputs(params: Params, experiment: str) -> list[str]:
    """What the figures of an experiment read."""
    files = ("training.csv", "trajectory.csv", "samples.npz")
    data = experiment_data(params, experiment)
    return [str(floor_file(experiment)), *data, *_of_runs(params.runs(experiment), files)]


def rows_of(config: dict[str, Any], experiment: str) -> dict[str, Any]:
    """What decides which rows an experiment has, as params.yaml spells it."""
    rows = {key: config["experiments"][experiment][key] for key in ("variants", "seeds")}
    return {"experiment": experiment, **rows}


def _of_runs(runs: Iterable[RunId], files: tuple[str, ...]) -> list[str]:
    return [str(run.directory / file) for run in runs for file in files]
