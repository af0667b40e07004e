"""params.yaml: what is accepted, and one sentence with the key for everything else."""

import datetime
import json
import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from support import MLP, PARAMS, ROOT, params, plain, real_params, run_settings

from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.settings import reading
from vct.lab.settings.run import RunSettings
from vct.lab.settings.run import run_settings as settings_of
from vct.lab.settings.train import TrainSettings


def sentence(content):
    """The message that `content` gets."""
    with pytest.raises(UserError) as caught:
        reading.validate(content)
    message = str(caught.value)
    assert message.startswith("params.yaml: ")
    assert "\n" not in message
    assert message.endswith((".", "?"))
    return message


def test_the_projects_own_file_is_valid():
    loaded = reading.load(ROOT / "params.yaml")
    assert "cpu" in loaded.suites
    for experiment in loaded.experiments:
        assert loaded.runs(experiment)


def test_small_file_is_valid_and_the_kind_of_a_coupling_is_its_name():
    loaded = reading.validate(params())
    couplings = loaded.experiments["small"].couplings
    assert {name: coupling.kind for name, coupling in couplings.items()} == {
        "independent": "independent",
        "ot": "ot",
        "variational": "variational",
    }
    other = params({"experiments.small.couplings.mine": {"kind": "ot"}})
    assert reading.validate(other).experiments["small"].couplings["mine"].kind == "ot"


def test_raw_files_have_the_name_of_their_data_set_unless_another_is_given():
    folder = {"source": "image_folder", "test": 5}
    changes = {"datasets.faces": folder, "datasets.small": {**folder, "raw": "faces.zip"}}
    datasets = reading.validate(params(changes)).datasets
    assert [datasets[name].raw for name in ("faces", "small")] == ["faces", "faces.zip"]


def test_runs_are_named_by_variant_and_seed():
    loaded = reading.validate(params())
    assert [str(run) for run in loaded.runs("small")] == [
        "small/independent/seed0",
        "small/independent/seed1",
        "small/variational/seed0",
        "small/variational/seed1",
    ]


def test_settings_that_came_later_change_no_hash():
    """Runs and samples of before are still those of the same settings."""
    assert "warm_up" not in str(run_settings().model_dump(mode="json"))
    sample = reading.validate(params()).experiments["small"].sample.model_dump_json()
    assert set(json.loads(sample)) == {
        "num_samples",
        "batch_size",
        "mid_times",
        "seed",
        "noise",
        "snapshot_samples",
    }
    warm = run_settings(ema={"decay": 0.9999, "warm_up": 0.05})
    assert warm.sha256() != run_settings(ema={"decay": 0.9999}).sha256()


E = "experiments.small"
T = f"{E}.train"
P = "experiments.pictures"

WRONG = [
    # Unknown keys, with the nearest known one.
    ({"datsets": {}}, "datsets: unknown key (did you mean 'datasets'?)"),
    ({f"{T}.batchsize": 3}, f"{T}.batchsize: unknown key (did you mean 'batch_size'?)"),
    ({f"{T}.objective.s2": 3}, f"{T}.objective.s2: unknown key"),
    ({f"{T}.network.widht": 3}, f"{T}.network.widht: unknown key (did you mean 'width'?)"),
    ({f"{E}.couplings.ot.kl_wieght": 3}, f"{E}.couplings.ot.kl_wieght: unknown key"),
    ({f"{E}.couplings.variational.encoder.x": 3}, f"{E}.couplings.variational.encoder.x: unknown"),
    ({"datasets.points.stdev": 3}, "datasets.points.stdev: unknown key"),
    ({"runtime.thread": 3}, "runtime.thread: unknown key (did you mean 'threads'?)"),
    # Wrong types; numbers are not read from strings.
    (
        {f"{E}.couplings.ot": {"kind": "my-ot.A"}},
        f"{E}.couplings.ot.kind: 'my-ot.A' is not allowed here: it is a dotted path, such as",
    ),
    ({"runtime.device": "gpu"}, "'gpu' is not allowed here: it is auto, cpu, cuda or cuda:0."),
    (
        {"datasets.f": {"source": "image_folder", "test": 2, "raw": "/x.zip"}},
        "datasets.f.raw: '/x.zip' is not allowed here: it is the name of a folder or .zip in",
    ),
    ({"runtime": None}, "runtime: None is not allowed here: there must be keys with values."),
    ({f"{T}.batch_size": "12"}, f"{T}.batch_size: '12' is not allowed"),
    ({f"{T}.batch_size": 12.0}, f"{T}.batch_size: 12.0 is not allowed"),
    ({f"{T}.batch_size": True}, f"{T}.batch_size: True is not allowed"),
    ({f"{T}.batch_size": None}, f"{T}.batch_size: None is not allowed"),
    ({f"{T}.batch_size": [1]}, f"{T}.batch_size: this value is not allowed"),
    ({f"{T}.optimizer.learning_rate": "1e-3"}, f"{T}.optimizer.learning_rate: '1e-3' is not"),
    ({f"{T}.flip": "yes"}, f"{T}.flip: 'yes' is not allowed"),
    ({f"{T}.optimizer.betas": [0.9]}, f"{T}.optimizer.betas"),
    ({f"{T}.network": "mlp"}, f"{T}.network"),
    ({f"{E}.seeds": 3}, f"{E}.seeds: 3 is not allowed"),
    ({f"{E}.seeds": [0, "one"]}, f"{E}.seeds.1: 'one' is not allowed"),
    ({f"{E}.couplings": ["ot"]}, f"{E}.couplings: this value is not allowed"),
    ({f"{E}.couplings.ot": None}, f"{E}.couplings.ot"),
    ({E: None}, f"{E}: None is not allowed"),
    ({"experiments": []}, "experiments: this value is not allowed"),
    ({"suites.cpu": "small"}, "suites.cpu: 'small' is not allowed"),
    # Out of range.
    ({f"{T}.steps": 0}, f"{T}.steps: 0 is not allowed"),
    ({f"{T}.steps": -3}, f"{T}.steps: -3 is not allowed"),
    ({f"{T}.t_max": 0.001}, f"{T}: t_max (0.001) must be larger than objective.t_min (0.002)"),
    ({f"{T}.t_max": 0.002}, f"{T}: t_max (0.002) must be larger than objective.t_min (0.002)"),
    ({f"{T}.t_max": float("inf")}, f"{T}.t_max: inf is not allowed"),
    ({f"{T}.sigma_data": float("nan")}, f"{T}.sigma_data: nan is not allowed"),
    ({f"{T}.sigma_data": 0}, f"{T}.sigma_data: 0 is not allowed"),
    ({f"{T}.network.dropout": 1.0}, f"{T}.network.dropout: 1.0 is not allowed"),
    ({f"{T}.ema.decay": 1}, f"{T}.ema.decay: 1 is not allowed"),
    ({f"{T}.ema.width": 0.5}, f"{T}.ema.width: 0.5 is not allowed"),
    ({f"{T}.snapshots": 21}, f"{T}: snapshots (21) must not exceed steps (20)"),
    ({f"{T}.objective.s1": 1}, f"{T}.objective: s1 (1) must not be smaller than s0 (2)"),
    ({f"{T}.optimizer.decay_start": 0.2}, "decay_start: is of schedule cosine; remove it"),
    ({f"{T}.optimizer.reference_step": 7}, "reference_step: is of schedule inverse_sqrt"),
    ({f"{T}.optimizer.clip_grad_norm": 0}, f"{T}.optimizer.clip_grad_norm: 0 is not allowed"),
    ({f"{E}.couplings.variational.kl_weight": -1}, f"{E}.couplings.variational.kl_weight: -1"),
    ({f"{E}.couplings.ot.clip_grad_norm": 0}, f"{E}.couplings.ot.clip_grad_norm: 0 is not"),
    (
        {
            f"{E}.couplings.gc": {
                "kind": "generator_augmented",
                "base": {"kind": "ot", "clip_grad_norm": 1},
            }
        },
        "base.clip_grad_norm would do nothing; set clip_grad_norm beside base instead",
    ),
    ({f"{E}.sample.mid_times": [0.5, 2.0]}, "sample.mid_times: [0.5, 2.0] must decrease"),
    ({f"{E}.sample.mid_times": [2.0, 2.0]}, "sample.mid_times: [2.0, 2.0] must decrease"),
    ({f"{E}.sample.mid_times": [80.0]}, "sample.mid_times: [80.0] must decrease and lie"),
    ({f"{E}.sample.mid_times": [0.002]}, "sample.mid_times: [0.002] must decrease and lie"),
    (
        {
            f"{T}.objective": {"kind": "vct.objectives.ict.ICT", "options": {"t_min": 0.5}},
            f"{E}.sample.mid_times": [0.1],
        },
        "sample.mid_times: [0.1] must decrease and lie between t_min (0.5)",
    ),
    (
        {f"{E}.diagnostics": {"seeds": [0], "mid_times": [1.0, 0.002, 80.0]}},
        "diagnostics.mid_times: 80.0, 0.002 must lie between t_min (0.002) and t_max (80.0)",
    ),
    ({f"{E}.sample.mid_times": [-1.0]}, f"{E}.sample.mid_times.0: -1.0 is not allowed"),
    ({f"{E}.sample.num_samples": 0}, f"{E}.sample.num_samples: 0 is not allowed"),
    ({f"{E}.seeds": []}, f"{E}.seeds: this value is not allowed"),
    ({f"{E}.seeds": [0, 1, 0]}, f"{E}: seeds: 0 stands there twice"),
    ({f"{E}.seeds": [-1]}, f"{E}.seeds.0: -1 is not allowed"),
    ({f"{E}.seeds": [10**9]}, f"{E}.seeds.0: 1000000000 is not allowed"),
    ({f"{E}.variants": ["ot", "ot"]}, f"{E}: variants: ot stands there twice"),
    ({f"{E}.variants": []}, f"{E}.variants: this value is not allowed"),
    ({"suites.cpu": []}, "suites.cpu.experiments: this value is not allowed"),
    ({"suites.cpu": ["small", "small"]}, "suites.cpu: an experiment stands there twice"),
    ({"datasets.images.test": 1797}, "datasets.images.test: 1797 is not allowed"),
    ({"runtime.device": "gpu"}, "runtime.device: 'gpu' is not allowed"),
    ({"runtime.threads": 0}, "runtime.threads: 0 is not allowed"),
    # Numbers with which no training can compute.
    ({f"{T}.objective": {"kind": "ecm", "q": 10.0, "stages": 10}}, f"{T}.objective: q (10.0) to"),
    ({f"{T}.objective": {"kind": "ecm", "q": 1e300}}, f"{T}.objective: q (1e+300) to the power"),
    ({f"{T}.objective.p_mean": 11.0}, f"{T}.objective.p_mean: 11.0 is not allowed"),
    (
        {f"{T}.objective.p_mean": 9.0, f"{T}.objective.p_std": 0.5},
        f"{T}: objective.p_mean (9.0) is too far",
    ),
    ({f"{T}.objective.p_std": 100.0}, f"{T}.objective.p_std: 100.0 is not allowed"),
    ({f"{T}.objective.rho": 0.001}, f"{T}.objective.rho: 0.001 is not allowed"),
    ({f"{T}.objective.s1": 10**9}, f"{T}.objective.s1: 1000000000 is not allowed"),
    ({f"{T}.ema.width": 1e-200}, f"{T}.ema.width: 1e-200 is not allowed"),
    ({f"{E}.couplings.variational.initial_std": 1000.0}, f"{E}.couplings.variational.initial_std"),
    ({f"{T}.steps": 10**10}, f"{T}.steps: 10000000000 is not allowed"),
    ({f"{T}.network.width": 10**6}, f"{T}.network.width: 1000000 is not allowed"),
    ({f"{T}.network.depth": 10**6}, f"{T}.network.depth: 1000000 is not allowed"),
    ({f"{T}.optimizer.learning_rate": 1e3}, f"{T}.optimizer.learning_rate: 1000.0 is not allowed"),
    ({f"{T}.t_max": 1e30}, f"{T}.t_max: 1e+30 is not allowed"),
    ({f"{T}.sigma_data": 1e-30}, f"{T}.sigma_data: 1e-30 is not allowed"),
    ({f"{T}.objective.huber_c": 1e-30}, f"{T}.objective.huber_c: 1e-30 is not allowed"),
    ({f"{T}.t_max": 0.0020000001}, f"{T}: objective.s1 (8) puts points of the time grid closer"),
    ({f"{E}.couplings.variational.kl_weight": 1e30}, f"{E}.couplings.variational.kl_weight: 1e+30"),
    ({f"{E}.sample.num_samples": 10**9}, f"{E}.sample.num_samples: 1000000000 is not allowed"),
    ({f"{E}.sample.seed": -1}, f"{E}.sample.seed: -1 is not allowed"),
    ({"datasets.points.std": 1e-30}, "datasets.points.std: 1e-30 is not allowed"),
    ({"runtime.device": "cuda:" + "9" * 9}, "runtime.device: 'cuda:999999999' is not allowed"),
    ({"runtime.stop_after_nonfinite": 0}, "runtime.stop_after_nonfinite: 0 is not allowed"),
    # More than the data hold.
    ({f"{T}.batch_size": 65}, f"{T}.batch_size: 65 is more than the 64 training samples of data"),
    (
        {"experiments.pictures.train.batch_size": 1298},
        "experiments.pictures.train.batch_size: 1298 is more than the 1297 training samples",
    ),
    # Layers that cannot be normalised in groups.
    (
        {"experiments.pictures.train.network.channels": 132},
        "experiments.pictures.train.network: channels (132) and mult give a layer of 132 channels",
    ),
    # More than plain data.
    ({f"{T}.network": {"kind": "a.b", "options": {"x": b"1"}}}, f"{T}.network.options.x: a value"),
    ({f"{T}.network": {"kind": "a.b", "options": {"x": {1}}}}, f"{T}.network.options.x: a value"),
    ({f"{T}.network": {"kind": "a.b", "options": {1: 1}}}, f"{T}.network.options: the key '1'"),
    ({f"{T}.steps": 10**5000}, f"{T}.steps: the number is too large"),
    ({f"{E}.seeds": [datetime.date(2020, 1, 1)]}, f"{E}.seeds.0: a value of type date"),
    # Averages and couplings that cannot be.
    ({f"{T}.ema.decya": 0.9}, f"{T}.ema.decya: unknown key (did you mean 'decay'?)"),
    ({f"{T}.ema": {"kind": "powr"}}, f"{T}.ema: there is no average 'powr'; did you mean power"),
    ({f"{T}.ema": {"kind": "power", "warm_up": 0.1}}, f"{T}.ema.warm_up: it is for kind constant"),
    ({f"{T}.ema": {"kind": "post_hoc"}}, f"{T}: ema.kept (32) must not exceed steps (20)"),
    (
        {f"{T}.ema": {"kind": "post_hoc", "widths": [0.1, 0.1]}},
        f"{T}.ema.widths: a width stands there twice",
    ),
    ({f"{E}.sample.ema_width": 0.1}, f"{E}: sample.ema_width: another width can be rebuilt only"),
    (
        {
            f"{T}.ema": {"kind": "post_hoc", "kept": 4},
            f"{E}.sample.ema_width": 0.1,
            f"{E}.sample.snapshot_samples": 8,
        },
        f"{E}: sample.snapshot_samples: scores along training would be of the first of train.ema",
    ),
    (
        {f"{E}.couplings.gc": {"kind": "generator_augmented", "base": {"kind": "otx"}}},
        f"{E}.couplings.gc.base: there is no coupling 'otx'; did you mean ot",
    ),
    (
        {f"{E}.couplings.gc": {"kind": "generator_augmented", "base": {"kind": "ot", "x": 1}}},
        f"{E}.couplings.gc.base.x: unknown key",
    ),
    # Runs to start from that there are not.
    (
        {f"{T}.initial_weights": "results/pictuers/ot/seed3/model.safetensors"},
        f"{T}.initial_weights: there is no experiment 'pictuers'; did you mean pictures",
    ),
    (
        {f"{T}.initial_weights": "results/pictures/to/seed3/model.safetensors"},
        f"{T}.initial_weights: there is no coupling 'to'; known: ot",
    ),
    (
        {f"{T}.initial_weights": "results/small/ot/seed0/model.safetensors"},
        f"{T}.initial_weights: an experiment cannot start from its own runs",
    ),
    # Samplers and objectives that do not fit.
    ({f"{T}.objective": {"kind": "edm"}}, f"{E}: sample.sampler: objective edm trains a denoiser"),
    ({f"{E}.sample.sampler": {"kind": "heun"}}, f"{E}: sample.sampler: heun needs a denoiser"),
    (
        {f"{T}.objective": {"kind": "edm"}, f"{E}.sample.sampler": {"kind": "heun"}},
        f"{E}: sample.mid_times: heun has its own times",
    ),
    (
        {
            f"{T}.objective": {"kind": "edm"},
            f"{E}.sample.sampler": {"kind": "heun", "t_min": 80.0},
            f"{E}.sample.mid_times": [],
        },
        f"{E}: sample.sampler.t_min: 80.0 must be below t_max (80.0)",
    ),
    (
        {
            f"{T}.objective": {"kind": "edm"},
            f"{E}.sample.sampler": {"kind": "heun"},
            f"{E}.sample.mid_times": [],
            f"{E}.couplings.ot": {"kind": "generator_augmented"},
            f"{E}.variants": ["ot"],
        },
        f"{E}: variants: objective edm asks no network at a lower level",
    ),
    (
        {
            f"{T}.objective": {"kind": "sct"},
            f"{E}.couplings.ot": {"kind": "generator_augmented"},
            f"{E}.variants": ["ot"],
        },
        f"{E}: variants: objective sct asks no network at a lower level",
    ),
    (
        {f"{T}.objective": {"kind": "sct"}, f"{T}.compile": True},
        f"{T}: compile: objective sct takes a derivative of the network in forward mode",
    ),
    (
        {f"{T}.objective": {"kind": "sct"}, f"{T}.precision": "bfloat16"},
        f"{T}: precision: objective sct takes a derivative of the network in forward mode, "
        "which precision: bfloat16 does not have",
    ),
    (
        {
            f"{T}.objective": {"kind": "flow", "t_min": 0.3},
            f"{E}.sample.sampler": {"kind": "heun"},
            f"{E}.sample.mid_times": [],
        },
        f"{E}: sample.sampler.t_min: 0.002 is below the least time of training (0.3)",
    ),
    (
        {
            f"{T}.objective": {"kind": "flow", "t_min": 1.0},
            f"{E}.sample.sampler": {"kind": "euler", "steps": 100},
            f"{E}.sample.mid_times": [],
        },
        f"{E}: sample.sampler: euler's last time, t_max / steps^rho = 0.8, is below",
    ),
    (
        {
            f"{T}.objective": {"kind": "edm"},
            f"{E}.sample.sampler": {"kind": "euler", "steps": 10_000, "rho": 100},
            f"{E}.sample.mid_times": [],
        },
        f"{E}: sample.sampler: euler's last time",
    ),
    (
        {
            f"{T}.objective": {"kind": "consistency_flow", "gap": 0.1},
            f"{E}.sample.mid_times": [7.9],
        },
        f"{E}: sample.mid_times: [7.9] must decrease and lie between t_min (8.0)",
    ),
    (
        {f"{T}.objective": {"kind": "flow", "p_mean": 1.0}},
        "p_mean: is of times logit-normal; remove it",
    ),
    (
        {f"{T}.objective": {"kind": "mean_flow", "times": "uniform", "p_std": 2.0}},
        "p_std: is of times logit-normal; remove it",
    ),
    (
        {f"{T}.objective": {"kind": "mean_flow"}, f"{T}.compile": True},
        f"{T}: compile: objective mean_flow takes a derivative of the network in forward mode",
    ),
    (
        {
            f"{E}.couplings.ot": {
                "kind": "generator_augmented",
                "base": {"kind": "loom"},
                "noise": "recouple",
            },
            f"{E}.variants": ["ot"],
        },
        "noise: replaced points would get the noises that images keep; choose 'keep'",
    ),
    (
        {
            f"{T}.objective": {"kind": "flow"},
            f"{E}.sample.sampler": {"kind": "heun"},
            f"{E}.sample.mid_times": [],
            f"{E}.couplings.ot": {"kind": "model_ot"},
            f"{E}.variants": ["ot"],
        },
        f"{E}: variants: objective flow trains a denoiser, which makes the mean of the data",
    ),
    (
        {
            f"{E}.couplings.ot": {"kind": "model_ot", "pool": 4, "uses": 3},
            f"{E}.variants": ["ot"],
        },
        "uses: 3 uses of each noise in a pool of 4 batches would give a batch the same noise twice",
    ),
    (
        {f"{E}.sample.sampler": {"kind": "midpoint"}},
        f"{E}.sample.sampler: there is no sampler 'midpoint'",
    ),
    # Unknown names, with the nearest known ones.
    (
        {f"{T}.dataset": "pionts"},
        f"{T}.dataset: there is no data set 'pionts'; did you mean points",
    ),
    (
        {"extractors.judge.dataset": "image"},
        "extractors.judge.dataset: there is no data set 'image'",
    ),
    (
        {"experiments.pictures.score.extractor": "jugde"},
        "experiments.pictures.score.extractor: there is no extractor 'jugde'; did you mean judge",
    ),
    ({"suites.cpu": ["smal"]}, "suites.cpu: there is no experiment 'smal'; did you mean small"),
    (
        {f"{E}.variants": ["variatonal"]},
        f"{E}: variants: there is no coupling 'variatonal'; did you mean variational",
    ),
    (
        {f"{E}.couplings.variatonal": {"kl_weight": 1, "encoder": MLP}},
        f"{E}.couplings.variatonal: there is no coupling 'variatonal'; did you mean variational",
    ),
    (
        {f"{E}.couplings.mine": {"kind": "optimal"}},
        f"{E}.couplings.mine: there is no coupling 'optimal'",
    ),
    (
        {f"{T}.objective": {"kind": "itc"}},
        f"{T}.objective: there is no objective 'itc'; did you mean ict",
    ),
    (
        {f"{T}.network": {"kind": "ddpm"}},
        f"{T}.network: there is no network 'ddpm'; did you mean ddpmpp",
    ),
    (
        {"datasets.points": {"source": "mixtur"}},
        "datasets.points: there is no data source 'mixtur'; did you mean mixture",
    ),
    ({f"{T}.objective": {}}, f"{T}.objective: the key 'kind' is missing"),
    ({f"{T}.network": {"width": 3}}, f"{T}.network: the key 'kind' is missing"),
    ({"datasets.points": {}}, "datasets.points: the key 'source' is missing"),
    ({f"{E}.score": {}}, f"{E}.score: the key 'metric' is missing"),
    ({f"{E}.score": {"metric": "fib"}}, f"{E}.score: there is no metric 'fib'; did you mean fid"),
    ({f"{T}.kernel": "vp"}, f"{T}.kernel: there is no kernel 'vp'; known: li, ve"),
    ({f"{E}.couplings.mine": {"kind": "a..b"}}, f"{E}.couplings.mine.kind: 'a..b' is not allowed"),
    # Scores that make no sense.
    ({f"{E}.score": {"metric": "fid"}}, f"{E}.score.extractor: this key is missing"),
    (
        {f"{E}.score": {"metric": "fid", "extractor": "judge"}},
        f"{E}.score.metric: points are scored by wasserstein",
    ),
    # Extractors, and what is measured beside the Fréchet distance.
    (
        {"extractors.judge": {"kind": "inceptoin"}},
        "extractors.judge: there is no extractor 'inceptoin'; did you mean inception",
    ),
    ({"extractors.judge": {}}, "extractors.judge: the key 'kind' is missing"),
    (
        {"extractors.judge": {"kind": "inception", "dataset": "images"}},
        "extractors.judge.dataset: unknown key",
    ),
    (
        {"extractors.judge": {"kind": "efficientnet-lite0", "download": True}},
        "extractors.judge.download: unknown key; remove it",
    ),
    (
        {"extractors.inception": {"kind": "efficientnet-lite0"}},
        "extractors.inception: its distances would be called FID, which is of kind inception",
    ),
    ({f"{P}.score.extras": ["fid"]}, f"{P}.score.extras.0: 'fid' is not allowed here"),
    ({f"{P}.score.extras": "kid"}, f"{P}.score.extras: 'kid' is not"),
    ({f"{P}.score.extras": ["kid", "kid"]}, f"{P}.score.extras: an entry stands there twice"),
    (
        {f"{E}.score": {"metric": "wasserstein", "extras": ["kid"]}},
        f"{E}.score.extras: unknown key",
    ),
    (
        {f"{P}.score.extras": ["inception_score"]},
        f"{P}.score.extras: inception_score needs an extractor of kind inception, and 'judge' is",
    ),
    (
        {"extractors.judge": {"kind": "inception"}, f"{P}.score.extras": ["inception_score"]},
        f"{P}.score.extras: inception_score is for colour images, and the data set is grey",
    ),
    # Data sets of files.
    (
        {"datasets.f": {"source": "image_folder"}},
        "datasets.f.test: this key is missing",
    ),
    (
        {"datasets.f": {"source": "image_folder", "test": 1}},
        "datasets.f.test: give a number of images to hold out, at least 2, or 'own'",
    ),
    ({"datasets.f": {"source": "image_folder", "test": "val"}}, "datasets.f.test: give a number"),
    ({"datasets.f": {"source": "image_folder", "test": True}}, "datasets.f.test: give a number"),
    ({"datasets.f": {"source": "image_folder", "test": 2, "size": 0}}, "datasets.f.size: 0 is not"),
    (
        {"datasets.f": {"source": "image_folder", "test": 2, "raw": "../x"}},
        "datasets.f.raw: '../x' is not allowed",
    ),
    (
        {"datasets.f": {"source": "image_folder", "test": 2, "raw": "/data/x.zip"}},
        "datasets.f.raw: '/data/x.zip' is not allowed",
    ),
    (
        {"datasets.f": {"source": "image_folder", "test": 2, "labels": "folder"}},
        "datasets.f.labels: 'folder' is not allowed",
    ),
    (
        {"datasets.f": {"source": "torchvision", "name": "cifar"}},
        "datasets.f.name: 'cifar' is not allowed",
    ),
    ({"datasets.raw": {"source": "mixture"}}, "datasets.raw: the name is taken by a folder"),
    (
        {
            "datasets.images": {"source": "image_folder", "test": 2},
            "extractors.judge": {"kind": "classifier", "dataset": "images"},
        },
        "extractors.judge: a classifier needs class labels, and data set 'images' has",
    ),
    (
        {
            "datasets.f": {"source": "image_folder", "test": 2},
            "experiments.pictures.train.dataset": "f",
            "experiments.pictures.train.conditional": True,
        },
        "experiments.pictures.train: conditional training needs class labels",
    ),
    # Names that would become strange folders or commands, and names that are taken.
    ({"suites.small": ["small"]}, "suites.small: the name is taken by an experiment's folder"),
    ({"suites.extractors": ["small"]}, "suites.extractors: the name is taken"),
    (
        {"experiments.extractors": PARAMS["experiments"]["small"]},
        "experiments.extractors: the name",
    ),
    ({"experiments.report": PARAMS["experiments"]["small"]}, "experiments.report: the name"),
]


@pytest.mark.parametrize(
    ("changes", "expected"),
    WRONG,
    ids=[f"{next(iter(case[0]))}-{i}" for i, case in enumerate(WRONG)],
)
def test_wrong_value(changes, expected):
    assert expected in sentence(params(changes))


@pytest.mark.parametrize(
    ("data", "colour"),
    [
        ({"source": "image_folder", "test": 2}, True),
        ({"source": "image_folder", "test": 2, "channels": 1}, False),
        ({"source": "torchvision", "name": "cifar10"}, True),
        ({"source": "torchvision", "name": "fashion-mnist"}, False),
    ],
)
def test_an_inception_score_is_for_colour_images(data, colour):
    changes = {
        "datasets.f": data,
        "extractors.inception": {"kind": "inception"},
        f"{P}.train.dataset": "f",
        f"{P}.score": {
            "metric": "fid",
            "extractor": "inception",
            "extras": ["kid", "inception_score"],
        },
    }
    if colour:
        reading.validate(params(changes))
    else:
        assert "the data set is grey" in sentence(params(changes))


def test_scores_without_extras_are_recorded_as_before_there_were_any():
    """So that both engines, and the hashes of what was scored, see no change."""
    plain = reading.validate(params()).experiments["pictures"].score
    assert plain.model_dump(mode="json") == {"metric": "fid", "extractor": "judge"}
    given = reading.validate(params({f"{P}.score.extras": ["kid"]})).experiments["pictures"].score
    assert given.model_dump(mode="json")["extras"] == ["kid"]


@pytest.mark.parametrize("name", ["../x", "a;b", "a b", "", "-a", ".", "a/b", "a$b", "é", "x" * 65])
@pytest.mark.parametrize(
    ("family", "value"),
    [
        ("datasets", {"source": "mixture"}),
        ("extractors", {"kind": "classifier", "dataset": "images"}),
        ("experiments", PARAMS["experiments"]["small"]),
        ("suites", ["small"]),
        ("experiments.small.couplings", {"kind": "ot"}),
    ],
)
def test_bad_name(family, value, name):
    content = params()
    place = content
    for part in family.split("."):
        place = place[part]
    place[name] = plain(value)
    assert f"{family}.{name}: a name has letters" in sentence(content)


@pytest.mark.parametrize(
    "key",
    [
        "datasets",
        "experiments",
        "suites",
        *(f"{E}.{key}" for key in ("train", "variants", "couplings", "seeds", "sample", "score")),
        *(f"{T}.{key}" for key in ("dataset", "kernel", "objective", "network", "steps")),
        f"{T}.batch_size",
        f"{E}.sample.num_samples",
        f"{E}.couplings.variational.kl_weight",
        f"{E}.couplings.variational.encoder",
        "extractors.judge.dataset",
    ],
)
def test_missing_key(key):
    assert f"{key}: this key is missing; add it." in sentence(params(drop=key))


def test_a_key_that_is_missing_because_it_is_misspelt():
    content = params(drop=f"{T}.kernel")
    content["experiments"]["small"]["train"]["kernal"] = "ve"
    assert f"{T}.kernal: unknown key (did you mean 'kernel'?)" in sentence(content)
    content["experiments"]["small"]["train"].pop("kernal")
    content["experiments"]["small"]["train"]["colour"] = "ve"
    assert f"{T}.kernel: this key is missing" in sentence(content)


@pytest.mark.parametrize("key", ["extractors", "runtime"])
def test_optional_part(key):
    content = params(drop=key)
    del content["experiments"]["pictures"]
    content["suites"]["cpu"] = ["small"]
    reading.validate(content)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# a comment alone\n",
        "- a\n- list\n",
        "just words",
        "3",
        "a: [1, 2",
        "a: b: c",
        "\ta: 1",
        "{a: *nowhere}",
        "!!python/object/apply:os.system [ls]",
        "a: 2001-99-99",
        "\x00",
        "&loop {datasets: *loop}",
        "{[1]: 2}",
        "1: 2",
        "datasets: {1: {source: mixture}}",
    ],
)
def test_text_that_is_no_settings_file(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=re.escape(str(path))) as caught:
        reading.load(path)
    assert "\n" not in str(caught.value)


def test_file_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="is missing"):
        reading.load(tmp_path / "absent.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        reading.load(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("é: 1".encode("latin-1"))
    with pytest.raises(UserError, match="cannot be read"):
        reading.load(tmp_path / "latin.yaml")


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (lambda loaded: loaded.experiment("smal"), "no experiment 'smal'; did you mean small"),
        (lambda loaded: loaded.suite("gpu"), "no suite 'gpu'; did you mean cpu"),
        (
            lambda loaded: settings_of(loaded, RunId("small", "variation", 0)),
            f"{E}.couplings: there is no coupling 'variation'; did you mean variational",
        ),
        (
            lambda loaded: settings_of(loaded, RunId("zzz", "ot", 0)),
            "no experiment 'zzz'; known: pictures, small",
        ),
    ],
)
def test_asking_for_what_is_not_there(ask, expected):
    with pytest.raises(UserError, match=re.escape(expected)):
        ask(reading.validate(params()))


# --- the hash of a run's settings ----------------------------------------------------------------


def reordered(value):
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return value


def test_hash_does_not_depend_on_the_order_of_keys():
    run = RunId("small", "variational", 0)
    hashes = {
        settings_of(reading.validate(content), run).sha256()
        for content in (params(), reordered(params()))
    }
    assert len(hashes) == 1
    own = {"kind": "own.Class", "options": {"a": 1, "b": {"c": 2, "d": 3}}}
    assert run_settings(own).sha256() == run_settings(reordered(own)).sha256()


def test_hash_depends_on_the_run_alone():
    """Neither the seed nor another variant, nor sampling or scoring, retrains a run."""

    def of(changes, coupling="ot"):
        loaded = reading.validate(params(changes))
        return settings_of(loaded, RunId("small", coupling, 0)).sha256()

    base = of({})
    assert of({f"{E}.couplings.variational.kl_weight": 11}) == base
    assert of({f"{E}.sample.num_samples": 99, f"{E}.seeds": [7], "runtime.threads": 2}) == base
    assert of({"experiments.pictures.train.steps": 99}) == base
    assert of({}, "independent") != base


def test_a_default_that_is_written_out_changes_nothing():
    assert run_settings(t_max=80.0).sha256() == run_settings().sha256()
    assert run_settings(t_max=80).sha256() == run_settings().sha256()


def test_a_coupling_without_a_limit_of_its_own_keeps_its_hash():
    for kind in ("independent", "ot", "variational", "sinkhorn", "gc"):
        coupling = run_settings(kind).model_dump(mode="json")["coupling"]
        assert "clip_grad_norm" not in json.dumps(coupling)


KNOBS = {
    "dataset": "other",
    "initial_weights": "pretrained/edm.safetensors",
    "kernel": "li",
    "t_max": 70.0,
    "sigma_data": 0.6,
    "batch_size": 9,
    "steps": 21,
    "conditional": True,
    "flip": True,
    "log_every": 7,
    "snapshots": 1,
    "precision": ["tf32", "bfloat16"],
    "compile": True,
    "objective": [
        {"kind": "ict"},
        {"kind": "ict", "s0": 3},
        {"kind": "ict", "rho": 6.0},
        {"kind": "ict", "distance": "norm"},
        {"kind": "ecm"},
        {"kind": "ecm", "q": 3.0},
        {"kind": "ecm", "weight": "edm"},
        {"kind": "edm"},
        {"kind": "flow"},
        {"kind": "flow", "times": "logit-normal"},
        {"kind": "flow", "times": "logit-normal", "p_mean": 1.0, "p_std": 0.5},
        {"kind": "consistency_flow"},
        {"kind": "consistency_flow", "gap": 0.01},
        {"kind": "sct"},
        {"kind": "sct", "warm_up": 5},
        {"kind": "mean_flow"},
        {"kind": "mean_flow", "times": "uniform", "power": 0.5},
        {"kind": "own.Objective"},
        {"kind": "own.Objective", "options": {"a": 1}},
    ],
    "network": [{**MLP, "depth": 3}, {**MLP, "dropout": 0.1}, {"kind": "own.Net"}],
    "optimizer": [
        {"kind": "radam", "learning_rate": 1e-3},
        {"kind": "adam", "learning_rate": 2e-3},
        {"kind": "adam", "learning_rate": 1e-3, "betas": [0.9, 0.99]},
        {"kind": "adam", "learning_rate": 1e-3, "schedule": "cosine"},
        {"kind": "adam", "learning_rate": 1e-3, "clip_grad_norm": 1.0},
    ],
    "ema": [{"decay": 0.8}, {"kind": "power"}, {"kind": "power", "width": 0.05}],
}


def test_hash_changes_with_every_knob():
    assert set(KNOBS) == set(TrainSettings.model_fields), "a new knob must be listed here"
    variants = [run_settings()]
    for key, values in KNOBS.items():
        for value in values if isinstance(values, list) else [values]:
            variants.append(run_settings(**{key: value}))
    encoder = {"kind": "variational", "encoder": MLP}
    variants += [
        run_settings("ot"),
        run_settings({**encoder, "kl_weight": 3.0}),
        run_settings({**encoder, "kl_weight": 4.0}),
        run_settings({**encoder, "kl_weight": 3.0, "initial_std": 0.5}),
        run_settings({**encoder, "kl_weight": 3.0, "encoder": {**MLP, "depth": 3}}),
        run_settings({**encoder, "kl_weight": 3.0, "clip_grad_norm": 200.0}),
    ]
    hashes = [variant.sha256() for variant in variants]
    assert len(set(hashes)) == len(hashes)
    for variant in variants:  # as a record of the run holds them
        assert RunSettings.model_validate(variant.model_dump(mode="json")) == variant


# --- anything at all -----------------------------------------------------------------------------


def places(value, path=()):
    """All paths into nested dictionaries and lists."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from places(entry, (*path, index))


REAL = real_params()
PLACES = [path for path in places(REAL) if path]

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([10**6, 10**30, -(10**30), 2**63]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(["", "mlp", "ot", "ecm", "a.b", "..", "a;b", "mixture", "digits", "é\ud800"]),
    st.text(max_size=5),
    st.binary(max_size=3),
    st.just(datetime.date(2020, 1, 1)),
)
KEYS = st.one_of(
    st.sampled_from(["kind", "source", "options", "own", "encoder", "steps", "0", ""]),
    st.integers(-1, 2),
    st.booleans(),
    st.none(),
    st.text(max_size=4),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(KEYS, inner, max_size=3),
        st.builds(lambda x: {"kind": x}, inner),
        st.builds(lambda x: {"source": x}, inner),
        st.builds(lambda x: {"kind": "a.b", "options": x}, inner),
    ),
    max_leaves=5,
)


@given(data=st.data())
@settings(max_examples=200, deadline=None, derandomize=True)
def test_any_change_is_valid_or_the_users_error(data):
    content = plain(REAL)
    for _ in range(data.draw(st.integers(1, 3))):
        *path, last = data.draw(st.sampled_from(PLACES))
        place = content
        try:
            for part in path:
                place = place[part]
            action = data.draw(st.sampled_from(["set", "set", "drop", "add"]))
            if action == "set":
                place[last] = data.draw(VALUES)
            elif action == "drop":
                del place[last]
            else:
                place[data.draw(KEYS)] = data.draw(VALUES)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took this place away
    try:
        loaded = reading.validate(content)
    except UserError as error:
        assert str(error)
        assert "\n" not in str(error)
        return
    for name in loaded.experiments:
        for run in loaded.runs(name):
            assert len(settings_of(loaded, run).sha256()) == 64


def test_a_file_written_by_yaml_reads_as_the_same_settings(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(REAL))
    assert reading.load(path) == reading.load(ROOT / "params.yaml")
