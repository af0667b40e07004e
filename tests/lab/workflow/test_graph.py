"""What the engines are told agrees with the settings and with what the stages write."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from support import ROOT, params

from vct.lab.errors import UserError
from vct.lab.files import layout
from vct.lab.settings import reading
from vct.lab.settings.params import Params
from vct.lab.workflow import dvc, graph, handshake


@pytest.fixture
def loaded():
    return reading.validate(params())


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
        settings = loaded.experiments.get(experiment.removesuffix(".diagnostics"))
        seeds = settings and (settings if "." not in experiment else settings.diagnostics).seeds
        rows = itertools.product(settings.variants, seeds) if settings else [("", "")]
        for coupling, seed in rows:
            found |= {
                path.replace("${item.coupling}", coupling).replace("${item.seed}", str(seed))
                for path in paths
            }
    return found


def test_suite_and_settings_come_from_the_config(here):
    suite, read = graph.from_snakemake({**params(), "suite": "one"})
    assert suite == "one"
    assert read == reading.load()
    assert graph.from_snakemake(params())[0] == graph.DEFAULT_SUITE


@pytest.mark.parametrize(
    "changes",
    [{"experiments.small.train.steps": 21}, {"runtime.threads": 2}, {"datasets.points.seed": 1}],
)
def test_settings_of_the_command_line_are_refused(here, changes):
    with pytest.raises(UserError, match=r"--config suite=NAME.*params\.yaml"):
        graph.from_snakemake(params(changes))


def test_wrong_settings_of_the_command_line_are_named(here):
    with pytest.raises(UserError, match="stepps"):
        graph.from_snakemake(params({"experiments.small.train.stepps": 1}))


def test_runs_of_a_suite(loaded):
    runs = [str(run) for run in loaded.suite_runs("cpu")]
    assert runs[-1] == "pictures/ot/seed3"
    assert len(set(runs)) == len(runs) == 5
    assert len(loaded.suite_runs("one")) == 4


def test_unknown_suite(loaded):
    for ask in (Params.suite_runs, graph.suite_files, graph.table_inputs):
        with pytest.raises(UserError, match="no suite 'cpus'; did you mean cpu"):
            ask(loaded, "cpus")


def test_points_need_no_extractor(loaded):
    assert graph.inputs(loaded, "small")["floor"] == ["data/points"]
    assert graph.inputs(loaded, "pictures")["floor"] == [
        "data/images",
        "results/extractors/judge",
        "results/statistics/images/judge/moments.safetensors",
    ]


def test_stages_read_the_files_of_the_users_classes(tmp_path, monkeypatch):
    """Those that stand in the project, each by the stage that uses it."""
    monkeypatch.chdir(tmp_path)
    for name in ("own_pairs", "own_loss", "own_sampler", "own_metric", "own_source", "own_judge"):
        Path(f"{name}.py").touch()
    changes = {
        "experiments.small.couplings.mine": {"kind": "own_pairs.Mine"},
        "experiments.small.couplings.installed": {"kind": "json.JSONDecoder"},
        "experiments.small.variants": ["ot", "mine", "installed"],
        "experiments.small.train.objective": {"kind": "own_loss.Loss"},
        "experiments.small.sample.sampler": {"kind": "own_sampler.Sampler"},
        "experiments.small.score": {"metric": "own_metric.Metric"},
        "datasets.points": {"source": "own_source.make"},
        "extractors.judge": {"kind": "own_judge.Judge"},
    }
    found = reading.validate(params(changes))

    def own(stage, *coupling):
        paths = graph.inputs(found, "small", *coupling)[stage]
        return [path for path in paths if path.endswith(".py")]

    assert own("train", "ot") == ["own_loss.py"]
    assert own("train", "installed") == ["own_loss.py"]
    assert own("train", "mine") == own("train") == ["own_loss.py", "own_pairs.py"]
    assert own("sample") == ["own_sampler.py"]
    assert own("score") == own("floor") == ["own_metric.py"]
    assert own("prior") == []
    assert graph.raw_inputs(found, "points") == ["own_source.py"]
    assert graph.extractor_inputs(found, "judge") == ["own_judge.py"]
    stages = yaml.safe_load(dvc.text(found, "cpu"))["stages"]
    assert {"own_loss.py", "own_pairs.py"} <= set(stages["train-small"]["deps"])


def test_experiments_share_statistics_and_extras_ask_for_more(loaded):
    """An extra that compares one by one adds a stage, and changes that of nobody else."""
    content = params()
    content["experiments"]["more"] = {
        **content["experiments"]["pictures"],
        "score": {"metric": "fid", "extractor": "judge", "extras": ["kid"]},
    }
    content["suites"]["cpu"].append("more")
    with_kid = reading.validate(content)
    (moments,) = graph.statistics(with_kid, "pictures")
    assert graph.statistics(with_kid, "more") == [moments, replace(moments, what="features")]
    before, after = (yaml.safe_load(dvc.text(one, "cpu"))["stages"] for one in (loaded, with_kid))
    of_suite = ("table", "scores")
    kept = {name: stage for name, stage in before.items() if name not in of_suite}
    assert kept.items() <= after.items()
    assert {name for name in after if "-in-judge" in name} == {
        "moments-images-in-judge",
        "features-images-in-judge",
    }


def test_data_that_only_the_extractor_needs_are_made():
    content = params({"datasets.others": {"source": "digits", "test": 400}})
    content["extractors"]["judge"]["dataset"] = "others"
    stages = yaml.safe_load(dvc.text(reading.validate(content), "cpu"))["stages"]
    assert stages["extractor-judge"]["deps"] == stages["data-others"]["outs"] == ["data/others"]


def test_folders_are_files_for_snakemake(loaded):
    wildcards = {"experiment": "pictures", "coupling": "ot", "seed": "3"}
    assert graph.input_files(loaded, "score", wildcards) == [
        *(f"data/images/{file}" for file in layout.DATA_FILES),
        *(f"results/extractors/judge/{file}" for file in layout.EXTRACTOR_FILES),
        "results/statistics/images/judge/moments.safetensors",
        *(f"results/pictures/ot/seed3/{file}" for file in ("config.json", *layout.SAMPLE_FILES)),
    ]


def snakemake_files(loaded, suite):
    """What Snakemake's rules and targets name of a suite; a data set by its folder.

    But for the report: DVC makes it, and calls it no output, since it holds times.
    """
    files = {*graph.suite_files(loaded, suite)} - {f"results/{suite}/{layout.REPORT_FILE}"}
    for name in loaded.suite(suite):
        files |= {f"data/{loaded.experiments[name].train.dataset}", f"results/{name}/floor.json"}
        files |= {*graph.files(*graph.inputs(loaded, name)["floor"][1:])}
        start = loaded.experiments[name].train.initial_weights
        if checkpoint := layout.pretrained_name(start or ""):
            files |= {str(file) for file in layout.pretrained_files(checkpoint)}
    for run in loaded.suite_runs(suite):
        for file in (*layout.TRAIN_FILES, *layout.SAMPLE_FILES, *layout.SCORE_FILES):
            files.add(str(run.directory / file))
    return files


def test_dvc_and_snakemake_make_the_same_files(loaded):
    """Outputs of the DVC stages are the files that Snakemake's rules and targets name."""
    made = dvc_files(loaded, "cpu", "outs") | dvc_files(loaded, "cpu", "metrics")
    assert made == {str(layout.TRACKING_READY), *snakemake_files(loaded, "cpu")}


def test_dvc_and_snakemake_make_the_same_files_of_the_paper_suite():
    loaded = reading.load(ROOT / "params.yaml")
    made = dvc_files(loaded, "paper", "outs") | dvc_files(loaded, "paper", "metrics")
    assert made == snakemake_files(loaded, "paper")
    assert "pretrained/edm2-img64-s-1073741-0.075.safetensors" in made
    raw = {"data/raw/ffhq64", "data/raw/imagenet64"}
    parents = {str(parent) for file in made for parent in Path(file).parents}
    assert dvc_files(loaded, "paper", "deps") <= made | parents | raw | {str(layout.TRACKING_READY)}


def test_both_engines_make_the_report_last_and_dvc_locks_no_hash_of_it(loaded):
    """Of two machines that train the same, the times differ, and dvc.lock must not."""
    path = f"results/cpu/{layout.REPORT_FILE}"
    assert path in graph.suite_files(loaded, "cpu")
    stages = yaml.safe_load(dvc.text(loaded, "cpu"))["stages"]
    stage = stages["scores"]
    assert stage["cmd"] == ["vct report cpu", "vct track scores cpu"]
    assert stage["outs"] == [f"results/cpu/{layout.TRACKED_FILE}"]
    told = {*graph.told_files(loaded, "cpu")}
    assert told < {*stage["deps"]} and told < {*graph.report_inputs(loaded, "cpu")}
    assert not [name for name, each in stages.items() if path in each.get("deps", [])]


def test_imported_weights_are_made_before_the_training_that_needs_them():
    path = "pretrained/edm-1.5.safetensors"
    loaded = reading.validate(params({"experiments.pictures.train.initial_weights": path}))
    assert graph.inputs(loaded, "pictures")["train"] == ["data/images", path]
    assert graph.inputs(loaded, "small")["train"] == ["data/points"]
    stages = yaml.safe_load(dvc.text(loaded, "cpu"))["stages"]
    assert path in stages["train-pictures"]["deps"]
    made = stages["pretrained-edm-1_5"]
    assert made["cmd"] == "vct import-edm pretrained/edm-1.5.pkl"
    # DVC must not delete what somebody imported by hand from another folder.
    assert made["outs"][0] == {path: {"persist": True}}


@pytest.mark.parametrize(
    "path",
    ["elsewhere/a.safetensors", "pretrained/a;b.safetensors", "pretrained/../a.safetensors"],
)
def test_other_initial_weights_are_no_business_of_the_engines(path):
    loaded = reading.validate(params({"experiments.pictures.train.initial_weights": path}))
    assert graph.inputs(loaded, "pictures")["train"] == ["data/images"]
    assert path not in dvc.text(loaded, "cpu")


def test_table_and_figures_read_what_some_stage_writes(loaded):
    made = dvc_files(loaded, "cpu", "outs") | dvc_files(loaded, "cpu", "metrics")
    inputs = set(graph.table_inputs(loaded, "cpu"))
    for name in loaded.suite("cpu"):
        inputs |= set(graph.figure_inputs(loaded, name))
        inputs -= set(graph.files(f"data/{loaded.experiments[name].train.dataset}"))
    assert inputs <= made


def test_dvc_stages_depend_on_what_some_stage_makes(loaded):
    made = dvc_files(loaded, "cpu", "outs") | dvc_files(loaded, "cpu", "metrics")
    parents = {str(parent) for file in made for parent in Path(file).parents}
    assert dvc_files(loaded, "cpu", "deps") <= made | parents


def test_kept_averages_are_made_and_read_where_asked_for():
    """By both engines, and by no other experiment."""
    ema = {"experiments.small.train.ema": {"kind": "post_hoc", "kept": 4}}
    kept = reading.validate(params(ema))
    rebuilt = reading.validate(params({**ema, "experiments.small.sample.ema_width": 0.07}))
    files = {str(run.directory / layout.AVERAGES_FILE) for run in kept.runs("small")}
    plain = reading.validate(params())
    assert dvc_files(kept, "cpu", "outs") - dvc_files(plain, "cpu", "outs") == files
    assert dvc_files(kept, "cpu", "deps") == dvc_files(plain, "cpu", "deps")
    assert dvc_files(rebuilt, "cpu", "deps") - dvc_files(kept, "cpu", "deps") == files
    assert dvc_files(rebuilt, "cpu", "outs") == dvc_files(kept, "cpu", "outs")
    assert layout.AVERAGES_FILE in graph.train_files(kept, "small")
    assert graph.train_files(kept, "pictures") == layout.TRAIN_FILES
    averages = f"{{run}}/{layout.AVERAGES_FILE}"
    assert averages in graph.inputs(rebuilt, "small")["sample"]
    assert averages not in graph.inputs(kept, "small")["sample"]


def test_diagnostics_are_made_of_the_seeds_that_are_asked_for():
    """And read the weights of the common coupling beside those of the run."""
    asked = {"experiments.small.diagnostics": {"seeds": [1], "common": "variational"}}
    plain, found = reading.validate(params()), reading.validate(params(asked))
    runs = [run.directory for run in found.runs("small") if run.seed == 1]
    files = {str(run / layout.DIAGNOSTICS_FILE) for run in runs}
    told = {f"results/cpu/{name}" for name in layout.EXPLANATION_FILES}
    made = dvc_files(found, "cpu", "outs") - dvc_files(plain, "cpu", "outs")
    assert made == files | told
    assert told <= set(graph.suite_files(found, "cpu"))
    assert not told & set(graph.suite_files(plain, "cpu"))
    assert files <= set(graph.explanation_inputs(found, "cpu"))
    others = graph.explanation_inputs(found, "cpu")
    assert sum(name.endswith(layout.DIAGNOSTICS_FILE) for name in others) == len(files)
    stage = yaml.safe_load(dvc.text(found, "cpu"))["stages"]["diagnose-small"]
    assert "results/small/variational/seed${item.seed}/model.safetensors" in stage["deps"]
    wildcards = {"experiment": "small", "coupling": "variational", "seed": "1"}
    read = graph.input_files(found, "diagnose", wildcards)
    assert len(read) == len(set(read))  # the common run's are its own


def test_rows_name_what_decides_them(loaded):
    before = graph.rows_of(params(), "small")
    assert before == graph.rows_of(params({"experiments.small.train.steps": 99}), "small")
    assert before != graph.rows_of(params({"experiments.small.seeds": [0]}), "small")
    assert before != graph.rows_of(params(), "pictures")


def with_raw_files():
    return reading.validate(
        params(
            {
                "datasets.faces": {"source": "image_folder", "test": 9},
                "datasets.faces-small": {"source": "image_folder", "raw": "f.zip", "test": 9},
                "datasets.public": {"source": "torchvision", "name": "cifar10"},
                "experiments.pictures.train.dataset": "faces-small",
            }
        )
    )


def test_raw_files_are_inputs_of_the_data_stage_in_both():
    loaded = with_raw_files()
    raw = {name: graph.raw_inputs(loaded, name) for name in loaded.datasets}
    assert raw["faces"] == ["data/raw/faces"]
    assert raw["faces-small"] == ["data/raw/f.zip"]
    assert raw["points"] == raw["public"] == []
    stages = yaml.safe_load(dvc.text(loaded, "cpu"))["stages"]
    assert stages["data-faces-small"]["deps"] == ["data/raw/f.zip"]
    assert "deps" not in stages["data-points"]


def test_raw_files_that_never_were_there_keep_no_stage_from_being_listed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loaded = with_raw_files()
    assert graph.raw_inputs_known(loaded, "faces") == []
    Path("data/raw/faces").mkdir(parents=True)
    assert graph.raw_inputs_known(loaded, "faces") == ["data/raw/faces"]
    # A data set that was pulled does without; leaving its input out would make it again.
    Path("data/faces-small").mkdir()
    Path("data/faces-small/meta.json").touch()
    assert graph.raw_inputs_known(loaded, "faces-small") == ["data/raw/f.zip"]


def test_raw_files_are_no_data_set_that_somebody_mistyped(loaded):
    graph.check_targets(loaded, ["data/raw/faces", "data/points/meta.json"])
    with pytest.raises(UserError, match="no data set 'pionts'"):
        graph.check_targets(loaded, ["data/pionts/meta.json"])
    with pytest.raises(UserError, match="no extractor 'jugde'"):
        graph.check_targets(loaded, ["results/statistics/images/jugde/moments.safetensors"])


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("{}", True),
        ('{"data-x": [{"changed deps": {"data/raw/x": "deleted"}}]}', True),
        ('{"data-x": [{"changed deps": {"data/raw/x": "modified"}}]}', False),
        ('{"data-x": [{"changed deps": {"data/x": "deleted"}}]}', False),
        ('{"data-x": [{"changed deps": {"data/raw/x": "deleted", "params.yaml": {}}}]}', False),
        ('{"data-x": [{"changed deps": {"data/raw/x": "deleted"}}, "always changed"]}', False),
        ('{"x": [{"changed deps": {"data/raw/x": "deleted"}, "changed outs": {}}]}', False),
        ('{"x": [{"changed outs": {"data/raw/x": "deleted"}}]}', False),
        ("", False),
        ("[]", False),
    ],
)
def test_pulled_data_are_adopted_without_their_raw_files(status, expected):
    assert handshake.only_raw_is_absent(status) == expected
