"""Samples start from N(0, I), from the fitted Gaussian, and from the aggregate posterior."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from support import MLP, dataset, params, randomise, run_settings

from vct.couplings.independent import Independent
from vct.couplings.variational import Variational
from vct.kernels import VarianceExploding
from vct.lab import cli
from vct.lab.files.layout import RunId
from vct.lab.sampling.drawing import Drawing
from vct.lab.sampling.priors import Aggregate, labels, posteriors, starts, write
from vct.lab.settings.sample import SampleSettings
from vct.networks.mlp import MLP as Perceptron
from vct.preconditioning import ConsistencyFunction
from vct.priors import GaussianPrior

CPU = torch.device("cpu")
VARIATIONAL, INDEPENDENT, GC = (
    f"small/{name}/seed0" for name in ("variational", "independent", "gc")
)
PRIORS = ["standard", "fitted", "aggregate", "late"]
LATE = 5.0
gc = {
    "kind": "generator_augmented",
    "base": {"kind": "variational", "kl_weight": 1, "encoder": MLP},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three runs, each with its prior, samples and scores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("priors"))
        sample = {"num_samples": 64, "mid_times": [2.0], "priors": PRIORS, "late_start": LATE}
        changes = {
            "runtime.tracking": False,
            "experiments.small.sample": sample,
            "experiments.small.variants": ["independent", "variational", "gc"],
            "experiments.small.couplings.gc": gc,
        }
        with open("params.yaml", "w") as file:
            yaml.safe_dump(params(changes), file)
        assert cli.main(["data", "points"]) == 0
        for run in (VARIATIONAL, INDEPENDENT, GC):
            for stage in ("train", "prior", "sample", "score"):
                assert cli.main([stage, run]) == 0
        yield


def arrays(run):
    with np.load(f"results/{run}/samples.npz") as file:
        return dict(file)


def test_couplings_with_a_posterior_start_from_every_prior(made):
    starts = {"steps1", "steps2"}
    priors = ("", "fitted-", "aggregate-", "late-")
    every = {f"{prior}{key}" for prior in priors for key in starts}
    late = {f"late-{key}" for key in starts}
    assert every & arrays(INDEPENDENT).keys() == starts | late
    for run in (VARIATIONAL, GC):
        found = arrays(run)
        assert every <= found.keys()
        assert not np.array_equal(found["steps1"], found["fitted-steps1"])
        assert not np.array_equal(found["fitted-steps1"], found["aggregate-steps1"])
        assert not np.array_equal(found["fitted-steps1"], found["late-steps1"])


def test_the_protocol_names_the_late_start(made):
    protocol = json.loads(Path(f"results/{INDEPENDENT}/protocol.json").read_text())
    assert protocol["schedules"]["late-steps2"] == [LATE, 2.0]
    assert protocol["schedules"]["steps2"] == [80.0, 2.0]
    scores = json.loads(Path(f"results/{INDEPENDENT}/metrics.json").read_text())
    assert {"late-steps1", "late-steps2"} <= scores.keys()


def test_a_late_start_of_independent_noise_has_the_moments_of_noisy_data(made):
    """x_t / t = x / t + z: its mean, and its covariance about it."""
    tensors = load_file(f"results/{INDEPENDENT}/prior.safetensors")
    prior = GaussianPrior(*(tensors[f"late.{name}"] for name in ("mean", "scale", "basis", "gain")))
    x = np.load("data/points/train_x.npy").reshape(-1, 2) / LATE
    np.testing.assert_allclose(prior.mean, x.mean(axis=0), rtol=1e-5, atol=1e-7)
    found = prior.covariance().diagonal()
    np.testing.assert_allclose(found, x.var(axis=0) + 1, rtol=1e-5)


def encoder():
    made = Perceptron((2, 1, 1), 4, 8, 2)
    weights = load_file(f"results/{VARIATIONAL}/model.safetensors")
    prefix = "coupling.encoder."
    parts = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    made.load_state_dict(parts)
    return Variational(made, 1.0)


@torch.no_grad()
def test_the_prior_has_the_moments_of_all_training_data(made):
    tensors = load_file(f"results/{VARIATIONAL}/prior.safetensors")
    prior = GaussianPrior(**{k: v for k, v in tensors.items() if not k.startswith("late.")})
    x = torch.from_numpy(np.load("data/points/train_x.npy"))
    mean, std = (part.flatten(1).double() for part in encoder().posterior(x))
    torch.testing.assert_close(prior.mean.double(), mean.mean(dim=0), rtol=1e-5, atol=1e-6)
    found = prior.covariance().double().diagonal()
    expected = mean.var(dim=0, correction=0) + std.square().mean(dim=0)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


def test_other_weights_need_another_prior(made, tmp_path, capsys):
    path = Path(f"results/{VARIATIONAL}/prior.safetensors")
    whole = path.read_bytes()
    try:
        path.write_bytes(Path(f"results/{GC}/prior.safetensors").read_bytes())
        assert cli.main(["sample", VARIATIONAL]) == 2
        assert f"vct prior {VARIATIONAL}" in capsys.readouterr().err
        save_file({"mean": torch.zeros(2)}, path)
        assert cli.main(["sample", VARIATIONAL]) == 2
        path.unlink()
        assert cli.main(["sample", VARIATIONAL]) == 2
        assert "is missing" in capsys.readouterr().err
    finally:
        path.write_bytes(whole)
    assert cli.main(["sample", VARIATIONAL]) == 0


def test_samples_of_a_prior_that_was_made_again_otherwise_are_not_scored(made, capsys):
    path = Path(f"results/{VARIATIONAL}/prior.safetensors")
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert cli.main(["score", VARIATIONAL]) == 2
        assert f"vct sample {VARIATIONAL}" in capsys.readouterr().err
        assert cli.main(["show", VARIATIONAL]) == 2
    finally:
        path.write_bytes(whole)
    assert cli.main(["score", VARIATIONAL]) == 0


def test_mirrored_images_count_where_training_mirrors():
    """mu of an encoder that sees left and right: the mean of both orientations."""
    data = dataset((1, 4, 4), size=20)
    coupling = Variational(randomise(Perceptron((1, 4, 4), 2, 8, 2)), 1.0)
    train = run_settings(flip=True).train
    means = [mean for mean, _ in posteriors(coupling, data, train, CPU)]
    both = torch.cat(means)
    assert len(both) == 40
    plain = run_settings().train
    assert torch.equal(both[:20], next(posteriors(coupling, data, plain, CPU))[0])
    assert not torch.allclose(both[:20], both[20:])
    eps = torch.zeros(200, 1, 4, 4)
    z = Aggregate(coupling, data, 0, CPU, flip=True)(eps, 0, None).flatten(1)
    near = torch.cdist(z, both.flatten(1)).argmin(dim=1)
    assert 60 < (near >= 20).sum() < 140


def test_aggregate_starts_from_the_posteriors_of_the_data():
    """Its draws have the mean and covariance that the fitted prior has."""
    data = dataset((2, 1, 1), size=50)
    coupling = Variational(randomise(Perceptron((2, 1, 1), 4, 8, 2)), 1.0)
    start = Aggregate(coupling, data, 0, CPU)
    eps = torch.randn(20_000, 2, 1, 1, generator=torch.Generator().manual_seed(0))
    z = start(eps, 0, None).flatten(1)
    with torch.no_grad():
        mean, std = (p.flatten(1) for p in coupling.posterior(torch.from_numpy(data.train.x)))
    torch.testing.assert_close(z.mean(dim=0), mean.mean(dim=0), rtol=0.03, atol=0.03)
    expected = mean.var(dim=0, correction=0) + std.square().mean(dim=0)
    torch.testing.assert_close(z.var(dim=0), expected, rtol=0.05, atol=0.01)
    assert torch.equal(start(eps[7:9], 7, None).flatten(1), z[7:9])


def test_aggregate_of_a_conditional_run_takes_data_of_the_class_asked_for():
    data = dataset((2, 1, 1), size=60, classes=3)

    class Recording(Independent):
        def couple(self, x, eps, labels=None):
            self.seen = x, labels
            return eps

    coupling = Recording()
    labels = torch.eye(3)[torch.arange(40) % 3]
    Aggregate(coupling, data, 0, CPU)(torch.zeros(40, 2, 1, 1), 0, labels)
    x, given = coupling.seen
    assert torch.equal(given, labels)
    known = {tuple(p.ravel()): c for p, c in zip(data.train.x, data.train.labels, strict=True)}
    assert [known[tuple(p.ravel())] for p in x.numpy()] == [i % 3 for i in range(40)]


def test_late_moments_are_those_of_noisy_data_with_learned_noise():
    """Against draws of x_t / t, with the linear kernel, which shrinks x."""
    data = dataset((2, 1, 1), size=50)
    coupling = Variational(randomise(Perceptron((2, 1, 1), 4, 8, 2)), 1.0)
    train = run_settings(kernel="li", t_max=2.0).train
    parts = list(posteriors(coupling, data, train, CPU, time=0.5))
    mean, std = (torch.cat(part) for part in zip(*parts, strict=True))
    eps = torch.randn(4_000, 50, 2, 1, 1, generator=torch.Generator().manual_seed(0))
    x = torch.from_numpy(data.train.x)
    with torch.no_grad():
        noisy = torch.stack([0.75 * x / 0.5 + coupling.couple(x, each) for each in eps])
    assert ((noisy.mean(dim=0) - mean) / std).abs().max() < 0.08
    torch.testing.assert_close(noisy.std(dim=0), std, rtol=0.06, atol=0)


def test_the_network_is_asked_at_the_late_time_with_what_starts_there():
    seen = []

    class Sampler:
        schedules, noises = {"steps1": [LATE]}, 1

        def __call__(self, f, coupling, noise, labels):
            seen.append(noise[0])
            yield noise[0]

    class Never(Sampler):
        def __call__(self, f, coupling, noise, labels):
            yield torch.zeros_like(noise[0])

    sample = SampleSettings(num_samples=4, priors=["standard", "late"], late_start=LATE)
    begin = {"standard": lambda noise, *_: noise, "late": lambda noise, *_: noise + 7}
    f = ConsistencyFunction(torch.nn.Identity(), VarianceExploding(80.0), 0.5, 0.002)
    data = dataset((2, 1, 1))
    late = {"late": Sampler()}
    drawing = Drawing(f, Independent(), Never(), data, sample, 4, begin, 0, CPU, late)
    found = drawing.all_results()
    assert not found["steps1"].any() and found["late-steps1"].mean() > 5
    assert len(seen) == 1


@pytest.mark.parametrize("flip", [False, True])
def test_a_conditional_run_starts_from_the_class_that_is_sampled(tmp_path, monkeypatch, flip):
    monkeypatch.chdir(tmp_path)
    data = dataset((1, 4, 4), size=60)
    coupling = Variational(randomise(Perceptron((1, 4, 4), 2, 8, 2, classes=3)), 1.0)
    train = run_settings(conditional=True, flip=flip).train
    sample = SampleSettings(num_samples=8, priors=["standard", "fitted"])
    run = RunId.parse(VARIATIONAL)
    run.directory.mkdir(parents=True)
    assert write(run, train, sample, coupling, data, {}, CPU)
    start = starts(run, train, sample, coupling, data, {}, CPU)["fitted"]
    z = start(torch.zeros(3, 1, 4, 4), 0, torch.eye(3)).flatten(1)
    mean = torch.cat([mean for mean, _ in posteriors(coupling, data, train, CPU)]).flatten(1)
    index = torch.cat(list(labels(data, train, CPU))).argmax(dim=1)
    assert len(index) == 60 * (1 + flip)
    if not flip:
        assert index.tolist() == data.train.labels.tolist()
    for label in range(3):
        expected = mean[index == label].mean(dim=0)
        torch.testing.assert_close(z[label], expected, rtol=1e-3, atol=1e-4)
    assert (z[0] - z[1]).abs().max() > 1e-3
