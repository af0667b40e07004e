"""What the engines are told agrees with the settings and with what the stages write."""

import itertools
from pathlib import Path

import pytest
import yaml
from support import params

from vct import config, layout, pipeline
from vct.errors import UserError
from vct.stages import dvc


@pytest.fixture
def loaded():
    return config.validate(params())


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A current folder with a small params.yaml."""
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params()))
    monkeypatch.chdir(tmp_path)


def dvc_files(loaded, suite, key):
    """All paths under `key` of a suite's DVC stages, with the matrix written out."""
    found = set()
    for stage in yaml.safe_load(dvc.text(loaded, suite))["stages"].values():
        paths = [next(iter(p)) if isinstance(p, dict) else p for p in stage.get(key, [])]
        matrix = stage.get("matrix", {})
        experiment = matrix.get("seed", "").removeprefix("${experiments.").removesuffix(".seeds}")
        settings = loaded.experiments.get(experiment)
        rows = itertools.product(settings.variants, settings.seeds) if settings else [("", "")]
        for coupling, seed in rows:
            found |= {
                path.replace("${item.coupling}", coupling).replace("${item.seed}", str(seed))
                for path in paths
            }
    return found


def test_suite_and_settings_come_from_the_config(here):
    suite, read = pipeline.from_snakemake({**params(), "suite": "one"})
    assert suite == "one"
    assert read == config.load()
    assert pipeline.from_snakemake(params())[0] == pipeline.DEFAULT_SUITE


@pytest.mark.parametrize(
    "changes",
    [{"experiments.small.train.steps": 21}, {"runtime.threads": 2}, {"datasets.points.seed": 1}],
)
def test_settings_of_the_command_line_are_refused(here, changes):
    with pytest.raises(UserError, match=r"--config suite=NAME.*params\.yaml"):
        pipeline.from_snakemake(params(changes))


def test_wrong_settings_of_the_command_line_are_named(here):
    with pytest.raises(UserError, match="stepps"):
        pipeline.from_snakemake(params({"experiments.small.train.stepps": 1}))


def test_runs_of_a_suite(loaded):
    runs = [str(run) for run in pipeline.suite_runs(loaded, "cpu")]
    assert runs[-1] == "pictures/ot/seed3"
    assert len(set(runs)) == len(runs) == 5
    assert len(pipeline.suite_runs(loaded, "one")) == 4


def test_unknown_suite(loaded):
    for ask in (pipeline.suite_runs, pipeline.suite_files, pipeline.table_inputs):
        with pytest.raises(UserError, match="no suite 'cpus'; did you mean cpu"):
            ask(loaded, "cpus")


def test_points_need_no_extractor(loaded):
    assert pipeline.extractor_files_of(loaded, "small") == []
    assert pipeline.extractor_files_of(loaded, "pictures") == [
        f"results/extractors/judge/{file}" for file in layout.EXTRACTOR_FILES
    ]


def test_data_of_an_experiment(loaded):
    files = pipeline.data_files_of(loaded, "pictures")
    assert {str(Path(file).parent) for file in files} == {"data/images"}
    assert {Path(file).name for file in files} == set(layout.DATA_FILES)


def test_dvc_and_snakemake_make_the_same_files(loaded):
    """Outputs of the DVC stages are the files that Snakemake's rules and targets name."""
    made = dvc_files(loaded, "cpu", "outs") | dvc_files(loaded, "cpu", "metrics")
    expected = {str(layout.TRACKING_READY), *pipeline.suite_files(loaded, "cpu")}
    expected |= {f"data/{name}" for name in ("points", "images")}
    for name in ("small", "pictures"):
        expected |= {f"results/{name}/floor.json", *pipeline.extractor_files_of(loaded, name)}
    for run in pipeline.suite_runs(loaded, "cpu"):
        for file in (*layout.TRAIN_FILES, *layout.SAMPLE_FILES, *layout.SCORE_FILES):
            expected.add(str(run.directory / file))
    assert made == expected


def test_table_and_figures_read_what_some_stage_writes(loaded):
    made = dvc_files(loaded, "cpu", "outs") | dvc_files(loaded, "cpu", "metrics")
    inputs = set(pipeline.table_inputs(loaded, "cpu"))
    for name in loaded.suite("cpu"):
        inputs |= set(pipeline.figure_inputs(loaded, name))
    inputs -= {
        file for name in ("small", "pictures") for file in pipeline.data_files_of(loaded, name)
    }
    assert inputs <= made


def test_dvc_stages_depend_on_what_some_stage_makes(loaded):
    made = dvc_files(loaded, "cpu", "outs") | dvc_files(loaded, "cpu", "metrics")
    parents = {str(parent) for file in made for parent in Path(file).parents}
    assert dvc_files(loaded, "cpu", "deps") <= made | parents


def test_kept_averages_are_made_and_read_where_asked_for():
    """By both engines, and by no other experiment."""
    ema = {"experiments.small.train.ema": {"kind": "post_hoc", "kept": 4}}
    kept = config.validate(params(ema))
    rebuilt = config.validate(params({**ema, "experiments.small.sample.ema_width": 0.07}))
    files = {str(run.directory / layout.AVERAGES_FILE) for run in kept.runs("small")}
    plain = config.validate(params())
    assert dvc_files(kept, "cpu", "outs") - dvc_files(plain, "cpu", "outs") == files
    assert dvc_files(kept, "cpu", "deps") == dvc_files(plain, "cpu", "deps")
    assert dvc_files(rebuilt, "cpu", "deps") - dvc_files(kept, "cpu", "deps") == files
    assert dvc_files(rebuilt, "cpu", "outs") == dvc_files(kept, "cpu", "outs")
    assert layout.AVERAGES_FILE in pipeline.train_files(kept, "small")
    assert pipeline.train_files(kept, "pictures") == layout.TRAIN_FILES
    assert layout.AVERAGES_FILE in pipeline.files_to_sample(rebuilt, "small")
    assert layout.AVERAGES_FILE not in pipeline.files_to_sample(kept, "small")


def test_rows_name_what_decides_them(loaded):
    before = pipeline.rows_of(params(), "small")
    assert before == pipeline.rows_of(params({"experiments.small.train.steps": 99}), "small")
    assert before != pipeline.rows_of(params({"experiments.small.seeds": [0]}), "small")
    assert before != pipeline.rows_of(params(), "pictures")
