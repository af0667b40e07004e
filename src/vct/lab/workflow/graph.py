"""What the engines ask: which files a stage of this suite reads and writes."""

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vct.lab.errors import UserError
from vct.lab.files import layout
from vct.lab.files.layout import (
    AVERAGES_FILE,
    DATA_FILES,
    DIAGNOSTICS_FILE,
    EXPLANATION_FILES,
    EXTRACTOR_FILES,
    FIGURES,
    NAME,
    PREPARED_FILE,
    PRIOR_FILE,
    RAW,
    REPORT_FILE,
    TABLE_FILES,
    TRACKED_FILE,
    RunId,
    StatisticsId,
    dataset_dir,
    extractor_dir,
    floor_file,
    pretrained_name,
    suite_dir,
)
from vct.lab.runs import kept
from vct.lab.settings import reading
from vct.lab.settings.own_code import own_files
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
    """What the user puts under data/raw for a data set, an archive or a folder, and the file of a
    source of their own.

    Downloads are no inputs: their checksums are fixed, and the data stage fetches them itself.
    """
    source = params.datasets[dataset]
    raw = [] if source.raw_input is None else [str(RAW / source.raw_input)]
    return [*raw, *own_files(source)]


def raw_inputs_known(params: Params, dataset: str) -> list[str]:
    """The raw inputs, unless neither they nor the data set have been here yet.

    Snakemake lists no stage at all where an input is missing that no stage makes; so the data
    stage is started, and says what to put where.
    """
    made = (dataset_dir(dataset) / "meta.json").exists()
    return [path for path in raw_inputs(params, dataset) if made or Path(path).exists()]


def files(*paths: str) -> list[str]:
    """The paths, with the files of data sets and extractors in place of their folders."""
    names = {dataset_dir(""): DATA_FILES, extractor_dir(""): EXTRACTOR_FILES}
    folders = {path: names.get(Path(path).parent, ()) for path in paths}
    inside = {path: [f"{path}/{name}" for name in known] for path, known in folders.items()}
    return [file for path in paths for file in inside[path] or [path]]


def extractor_inputs(params: Params, extractor: str) -> list[str]:
    """What making an extractor reads; published weights are no input, as their hash is fixed."""
    settings = params.extractors[extractor]
    data = [] if settings.trained_on is None else [str(dataset_dir(settings.trained_on))]
    return [*data, *own_files(settings)]


def statistics(params: Params, experiment: str) -> list[StatisticsId]:
    """What scores of an experiment must know of its training images."""
    train, score = params.experiment(experiment).train, params.experiment(experiment).score
    return [StatisticsId(train.dataset, str(score.extractor), what) for what in score.statistics]


def statistics_inputs(params: Params, place: StatisticsId) -> list[str]:
    """What computing statistics reads."""
    own = own_files(params.extractors[place.extractor])
    return [str(dataset_dir(place.dataset)), str(extractor_dir(place.extractor)), *own]


def own_extractor(params: Params, name: str | None) -> list[str]:
    """Key of params.yaml with the options of a user's extractor, on which its features may depend
    where its weights do not."""
    return [f"extractors.{name}"] if name and params.extractors[name].is_own else []


def inputs(params: Params, experiment: str, coupling: str | None = None) -> dict[str, list[str]]:
    """What the stages of an experiment read, by stage; `{run}` is the folder of a run. The files of
    the user's own classes are read too.

    Args:
        coupling: of which; None lists what any of the variants reads.
    """
    one = params.experiment(experiment)
    data, start = str(dataset_dir(one.train.dataset)), one.train.initial_weights or ""
    made_by_a_stage = RunId.of_weights(start) or pretrained_name(start)
    names = one.variants if coupling is None else one.couplings.keys() & {coupling}
    teachers = [teacher for name in names if (teacher := one.couplings[name].teacher_run(0))]
    taught = [
        f"results/{each.experiment}/{each.coupling}/seed{{seed}}/{file}"
        for each in dict.fromkeys(teachers)
        for file in ("model.safetensors", "config.json")
    ]
    prepared = [f"{{run}}/{PREPARED_FILE}"] if prepares(params, experiment) else []
    averages = () if one.sample.ema_width is None else (AVERAGES_FILE,)
    to_sample = ("model.safetensors", "config.json", "snapshots.safetensors", *averages)
    priors = (PRIOR_FILE,) if fits_prior(params, experiment) else ()
    to_score = ("config.json", "samples.npz", "preview.png")
    judge = [str(place.file) for place in statistics(params, experiment)]
    if one.score.extractor is not None:
        own = own_files(params.extractors[one.score.extractor])
        judge = [str(extractor_dir(one.score.extractor)), *own, *judge]
    weights = [f"{{run}}/{file}" for file in (*to_sample, *priors)]
    trained = own_files([one.train, *(one.couplings[name] for name in names)])
    judge += own_files(one.score)
    common = one.diagnostics and f"results/{experiment}/{one.diagnostics.common}/seed{{seed}}"
    others = [f"{common}/{file}" for file in to_sample] if common else []
    return {
        "prepare": [data, *taught, *trained],
        "train": [data, *([start] if made_by_a_stage else []), *prepared, *trained],
        "prior": [data, *(f"{{run}}/{file}" for file in to_sample)],
        "sample": [data, *weights, *prepared, *own_files(one.sample)],
        "diagnose": [data, *judge, *weights, "{run}/samples.npz", *others, *prepared],
        "floor": [data, *judge],
        "score": [data, *judge, *(f"{{run}}/{file}" for file in to_score)],
    }


def input_files(params: Params, stage: str, wildcards: Any) -> list[str]:
    """The same as files, for Snakemake; the wildcards are experiment, coupling and seed."""
    names = [wildcards.get(key) for key in ("experiment", "coupling", "seed")]
    run = "results/{}/{}/seed{}".format(*names)
    paths = dict.fromkeys(
        path.format(run=run, seed=names[2]) for path in inputs(params, names[0], names[1])[stage]
    )
    return files(*paths)


def training_version(params: Params, wildcards: Any) -> int:
    """Version of the code that trains a run, for Snakemake."""
    run = RunId(wildcards.experiment, wildcards.coupling, int(wildcards.seed))
    return run_settings(params, run).training_version


def drops(params: Params, experiment: str) -> bool:
    """Whether some run of an experiment has dropout."""
    runs = (RunId(experiment, name, 0) for name in params.experiment(experiment).variants)
    return any(run_settings(params, run).drops for run in runs)


def prepares(params: Params, experiment: str) -> bool:
    """Whether a coupling of an experiment makes something before training, by a stage."""
    one = params.experiment(experiment)
    return any(one.couplings[name].prepared_parts() for name in one.variants)


def fits_prior(params: Params, experiment: str) -> bool:
    """Whether samples of an experiment start from a fitted prior too, which a stage fits."""
    return params.experiment(experiment).sample.priors != ["standard"]


def diagnosed(params: Params, suite: str) -> list[str]:
    """The experiments of a suite whose runs are diagnosed."""
    return [name for name in params.suite(suite) if params.experiment(name).diagnostics]


def keeps_averages(params: Params, experiment: str) -> bool:
    """Whether trainings of an experiment keep averages, to rebuild others from."""
    return bool(params.experiment(experiment).train.ema.times_kept)


def train_files(params: Params, experiment: str) -> tuple[str, ...]:
    """What a training of this experiment writes into the folder of its run."""
    return layout.train_files(keeps_averages(params, experiment))


# --- what a suite consists of ----------------------------------------------------------------


def to_make(params: Params, suite: str) -> list[RunId]:
    """The runs of a suite that git does not keep."""
    return [run for name in params.suite(suite) for run in kept.to_make(params, suite, name)]


def told_files(params: Params, suite: str) -> list[str]:
    """Tables of a suite, and figures of the experiments of which all runs are here to be drawn:
    what its report shows."""
    drawn = [
        name
        for name in params.suite(suite)
        if len(kept.to_make(params, suite, name)) == len(params.runs(name))
    ]
    figures = [f"{name}-{figure}.png" for name in drawn for figure in FIGURES]
    more = EXPLANATION_FILES if diagnosed(params, suite) else ()
    return [str(suite_dir(suite) / file) for file in (*TABLE_FILES, *more, *figures)]


def suite_files(params: Params, suite: str) -> list[str]:
    """All that is made of the runs of a suite together."""
    last = [str(suite_dir(suite) / file) for file in (REPORT_FILE, TRACKED_FILE)]
    return [*told_files(params, suite), *last]


def table_inputs(params: Params, suite: str) -> list[str]:
    """What the table reads."""
    names = ("metrics.json", "config.json", "protocol.json")
    found = []
    for name in params.suite(suite):
        places = kept.places(params, suite, name, finished=False).values()
        found += [str(kept.floor(suite, name)), *_of_runs(places, names)]
    return found


def explanation_inputs(params: Params, suite: str) -> list[str]:
    """What diagnostics of a suite are told from."""
    found = [*table_inputs(params, suite)]
    for name in params.suite(suite):
        places = kept.places(params, suite, name, finished=False).values()
        found += _of_runs(places, ("trajectory.csv",))
        if settings := params.experiment(name).diagnostics:
            some = [run for run in places if run.seed in settings.seeds]
            files = _of_runs(some, (DIAGNOSTICS_FILE,))
            # No stage makes what git does not keep of a kept run.
            made = {str(run.directory / DIAGNOSTICS_FILE) for run in params.runs(name)}
            found += [file for file in files if file in made or Path(file).exists()]
    return found


def report_inputs(params: Params, suite: str) -> list[str]:
    """What the report is made of; diagnostics are read beside their figures."""
    told = explanation_inputs if diagnosed(params, suite) else table_inputs
    return [*told_files(params, suite), *told(params, suite)]


def tracked_inputs(params: Params, suite: str) -> list[str]:
    """What MLflow shows of a suite beside its report: scores, tables and figures."""
    return [*told_files(params, suite), *table_inputs(params, suite)]


def figure_inputs(params: Params, experiment: str) -> list[str]:
    """What the figures of an experiment read."""
    names = ("training.csv", "trajectory.csv", "samples.npz")
    data = files(str(dataset_dir(params.experiment(experiment).train.dataset)))
    return [str(floor_file(experiment)), *data, *_of_runs(params.runs(experiment), names)]


def rows_of(config: dict[str, Any], experiment: str) -> dict[str, Any]:
    """What decides which rows an experiment has, as params.yaml spells it."""
    rows = {key: config["experiments"][experiment][key] for key in ("variants", "seeds")}
    return {"experiment": experiment, **rows}


def endpoint(params: Params, suite: str) -> dict[str, Any]:
    """What decides the comparisons of a suite."""
    return params.suite_settings(suite).model_dump(mode="json", exclude={"experiments"})


def _of_runs(runs: Iterable[RunId], names: tuple[str, ...]) -> list[str]:
    return [str(run.directory / name) for run in runs for name in names]
