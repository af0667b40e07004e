"""The published experiments of params.yaml, where the settings can contradict the paper."""

import json

import pytest
from support import ROOT

from vct.lab import build
from vct.lab.settings import reading
from vct.lab.settings.run import run_settings

PARAMS = reading.load(ROOT / "params.yaml")
RUNS = PARAMS.suite_runs("paper")


def test_every_published_row_is_there():
    rows = {(run.experiment, run.coupling) for run in RUNS}
    pairs = {
        "ict-fashion-mnist": ("ve", "li"),
        "ict-cifar10": ("ve", "li"),
        "ecm-cifar10": ("ve", "li"),
        "ecm-ffhq64": ("ve", "li"),
        "ecm-imagenet64": ("li",),
    }
    expected = {
        (f"{name}-{kernel}", coupling)
        for name, kernels in pairs.items()
        for kernel in kernels
        for coupling in ("independent", "ot", "variational")
    }
    generated = {("ict-cifar10-ve", name) for name in ("gc", "gc-ot", "gc-vc")}
    assert rows == expected | generated


@pytest.mark.parametrize("run", RUNS, ids=str)
def test_gradients_are_clipped_for_variational_couplings_alone(run):
    settings = run_settings(PARAMS, run)
    learns = "encoder" in json.dumps(settings.coupling.model_dump(mode="json"))
    assert settings.clip_grad_norm == (200 if learns else None)


def encoder_settings(settings):
    found = (getattr(part, "encoder", None) for part in settings.coupling.parts())
    return next(filter(None, found), None)


@pytest.mark.parametrize("run", RUNS, ids=str)
def test_encoders_drop_as_their_networks_do(run):
    settings = run_settings(PARAMS, run)
    encoder = encoder_settings(settings)
    if encoder is not None:
        network = settings.train.network
        for name in ("dropout", "dropout_up_to", "mult"):
            assert getattr(encoder, name, None) == getattr(network, name, None)


def test_encoder_of_imagenet_is_as_large_as_the_published_one():
    (run,) = (run for run in RUNS if str(run) == "ecm-imagenet64-li/variational/seed0")
    encoder = encoder_settings(run_settings(PARAMS, run))
    made = build.instantiate(encoder, shape=(3, 64, 64), outputs=6, classes=1000, sigma_data=0.5)
    assert sum(parameter.numel() for parameter in made.parameters()) == 6_162_269


@pytest.mark.parametrize("name", PARAMS.suite("paper"))
def test_names_say_what_the_settings_are(name):
    train, sample = PARAMS.experiment(name).train, PARAMS.experiment(name).sample
    objective, dataset, kernel = name.split("-", 1)[0], train.dataset, name.rsplit("-", 1)[1]
    assert name == f"{objective}-{dataset}-{kernel}"
    assert (train.objective.member, train.kernel.member) == (objective, kernel)
    assert train.conditional == (dataset == "imagenet64")
    assert (train.initial_weights is None) == (objective == "ict")
    assert sample.num_samples == 50_000
    assert sample.mid_times == ([1.526] if dataset == "imagenet64" else [0.821])
    assert sample.batch_size == train.batch_size
