"""The plan is the entropic optimum, its marginals are right, and draws follow it."""

import os

import numpy as np
import pytest
import torch
from support import KERNELS, pairing

from vct.couplings.minibatch_ot import assignment
from vct.couplings.sinkhorn import Sinkhorn, feasible, transport_plan
from vct.lab.metrics.wasserstein import wasserstein2
from vct.samplers.few_step import FewStep

DIM = 5


def batch(seed, size=6):
    return torch.randn(size, DIM, generator=torch.Generator().manual_seed(seed))


def coupling(**options):
    return Sinkhorn(**options)


@pytest.mark.parametrize("size", [1, 2, 6, 32])
@pytest.mark.parametrize("iterations", [1, 3, 100])
@pytest.mark.parametrize("entropy", [0.01, 0.3, 100.0])
def test_marginals_are_uniform_however_early_it_stops(size, iterations, entropy):
    found = transport_plan(batch(0, size), batch(1, size), entropy, iterations)
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=0), 1 / size, rtol=1e-9)
    np.testing.assert_allclose(found.sum(axis=1), 1 / size, rtol=1e-9)


def test_plan_is_the_entropic_optimum():
    """With the right marginals, P is optimal when ln P + cost/lambda is a_i + b_j."""
    x, eps, entropy = batch(0), batch(1), 0.5
    gain = (x.double() @ eps.double().T).numpy()
    potentials = torch.log(transport_plan(x, eps, entropy, 5000, tolerance=1e-9)).numpy()
    centred = gain - gain.mean(axis=0) - gain.mean(axis=1, keepdims=True) + gain.mean()
    potentials -= centred / (entropy * centred.std())
    mixed = potentials - potentials[:1] - potentials[:, :1] + potentials[0, 0]
    np.testing.assert_allclose(mixed, 0, atol=1e-5)


@pytest.mark.parametrize("entropy", [0.05, 0.1, 1.0])
def test_plan_is_that_of_another_implementation(entropy):
    """POT's, on numpy."""
    from ot.bregman import sinkhorn_log

    x, eps = batch(0, 24).double().numpy(), batch(1, 24).double().numpy()
    gain = x @ eps.T
    gain = gain - gain.mean(axis=0) - gain.mean(axis=1, keepdims=True) + gain.mean()
    uniform = np.full(24, 1 / 24)
    expected = sinkhorn_log(
        uniform, uniform, -gain / gain.std(), entropy, 20_000, stopThr=1e-13, warn=False
    )
    found = transport_plan(
        torch.from_numpy(x), torch.from_numpy(eps), entropy, 20_000, tolerance=1e-12
    )
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_works_after_points_were_scored():
    """Which imports POT without torch, and once left that in the environment of later processes."""
    before = dict(os.environ)
    wasserstein2(np.eye(4), np.eye(4))
    assert dict(os.environ) == before
    assert torch.isfinite(coupling().couple(batch(0), batch(1))).all()


def test_little_entropy_gives_the_exact_plan_and_much_of_it_independence():
    x, eps = batch(0), batch(1)
    exact = np.zeros((6, 6))
    exact[np.arange(6), assignment(x, eps)] = 1 / 6
    np.testing.assert_allclose(transport_plan(x, eps, 0.01, 1000), exact, atol=1e-3)
    np.testing.assert_allclose(transport_plan(x, eps, 1e3, 500), 1 / 36, rtol=1e-2)


def test_entropy_costs_transport():
    x, eps = batch(0, 32), batch(1, 32)
    gain = (x @ eps.T).double().numpy()
    gains = [
        (transport_plan(x, eps, entropy, 500).numpy() * gain).sum()
        for entropy in (0.1, 0.3, 1.0, 10.0)
    ]
    assert gains == sorted(gains, reverse=True)


def test_scale_and_place_of_the_data_do_not_matter():
    x, eps = batch(0).double(), batch(1).double()
    moved = transport_plan(7 * x + torch.arange(DIM), 0.1 * eps - 3, 0.2, 500)
    np.testing.assert_allclose(moved, transport_plan(x, eps, 0.2, 500), atol=1e-9)


def test_equal_points_are_paired_with_any_noise():
    assert (transport_plan(torch.ones(4, DIM), batch(1, 4), 0.1, 100) == 1 / 16).all()


def test_feasible_keeps_a_plan_that_is_right():
    right = transport_plan(batch(0), batch(1), 0.5, 1000, tolerance=1e-12)
    np.testing.assert_allclose(feasible(right), right, rtol=1e-9)


def test_draws_follow_the_plan():
    """Each order of the noise is another draw from the same plan."""
    size, draws = 8, 600
    x, eps = batch(0, size), batch(1, size)
    counts = torch.zeros(size, size)
    for seed in range(draws):
        order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
        z = coupling(entropy=1.0).couple(x, eps[order])
        chosen = (z[:, None] == eps[None]).all(dim=2)
        assert (chosen.sum(dim=1) == 1).all()
        counts += chosen
    expected = size * transport_plan(x, eps, 1.0, 100).float()
    torch.testing.assert_close(counts / draws, expected, atol=0.06, rtol=0)
    # So each noise goes to one data point on average.
    torch.testing.assert_close(counts.sum(dim=0) / draws, torch.ones(size), atol=0.1, rtol=0)


def test_pairing_is_a_function_of_the_batch_and_its_noise():
    x, eps = batch(0, 32), batch(1, 32)
    first = coupling().couple(x, eps)
    torch.randn(3)
    assert torch.equal(coupling().couple(x, eps), first)
    assert not torch.equal(coupling().couple(x, batch(2, 32)), first)


def test_images_keep_their_places_and_learn_nothing():
    x, eps = batch(0).reshape(6, DIM, 1, 1).requires_grad_(), batch(1).reshape(6, DIM, 1, 1)
    pair = coupling().pair(x, eps, pairing(len(x)))
    assert pair.x is x
    assert torch.equal(pair.z, coupling().couple(x, eps))
    assert not pair.z.requires_grad
    assert pair.kl.tolist() == [0] * 6


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("where", ["x", "eps"])
def test_what_is_not_finite_has_no_plan(value, where):
    """A model that diverged is seen by its samples and losses; no pairing hides it."""
    x, eps = batch(0), batch(1)
    given = {"x": x, "eps": eps}[where]
    given[2] = value
    assert coupling().couple(x, eps).isnan().all()


def test_a_diverged_model_is_sampled_as_one():
    """In two steps too, which pair its samples anew."""

    def f(x_t, t, labels):
        return torch.full_like(x_t, torch.nan)

    f.kernel = KERNELS["ve"]
    for samples in FewStep([80.0, 1.0])(
        f, coupling(), [batch(0)[..., None, None], batch(1)[..., None, None]]
    ):
        assert samples.isnan().all()
