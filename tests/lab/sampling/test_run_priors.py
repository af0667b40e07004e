"""Samples start from N(0, I), from the fitted Gaussian, and from the aggregate posterior."""

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from support import MLP, dataset, params, randomise, run_settings

from vct.couplings.independent import Independent
from vct.couplings.variational import Variational
from vct.lab import cli
from vct.lab.sampling.priors import Aggregate, posteriors
from vct.networks.mlp import MLP as Perceptron
from vct.priors import GaussianPrior

CPU = torch.device("cpu")
VARIATIONAL, INDEPENDENT, GC = (
    f"small/{name}/seed0" for name in ("variational", "independent", "gc")
)
PRIORS = ["standard", "fitted", "aggregate"]
gc = {
    "kind": "generator_augmented",
    "base": {"kind": "variational", "kl_weight": 1, "encoder": MLP},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three runs, each with its prior, samples and scores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("priors"))
        sample = {"num_samples": 64, "mid_times": [2.0], "priors": PRIORS}
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
    every = {f"{prior}{key}" for prior in ("", "fitted-", "aggregate-") for key in starts}
    assert starts <= arrays(INDEPENDENT).keys() and not every - starts & arrays(INDEPENDENT).keys()
    for run in (VARIATIONAL, GC):
        found = arrays(run)
        assert every <= found.keys()
        assert not np.array_equal(found["steps1"], found["fitted-steps1"])
        assert not np.array_equal(found["fitted-steps1"], found["aggregate-steps1"])


def encoder():
    made = Perceptron((2, 1, 1), 4, 8, 2)
    weights = load_file(f"results/{VARIATIONAL}/model.safetensors")
    prefix = "coupling.encoder."
    parts = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    made.load_state_dict(parts)
    return Variational(made, 1.0)


@torch.no_grad()
def test_the_prior_has_the_moments_of_all_training_data(made):
    prior = GaussianPrior(**load_file(f"results/{VARIATIONAL}/prior.safetensors"))
    x = torch.from_numpy(np.load("data/points/train_x.npy"))
    mean, std = (part.flatten(1).double() for part in encoder().posterior(x))
    torch.testing.assert_close(prior.mean.double(), mean.mean(dim=0), rtol=1e-5, atol=1e-6)
    found = prior.covariance().double().diagonal()
    expected = mean.var(dim=0, correction=0) + std.square().mean(dim=0)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


def test_other_weights_need_another_prior(made, tmp_path, capsys):
    from pathlib import Path

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
    from pathlib import Path

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
