"""Replaced data points come from the averaged model; everything else is the base's."""

from dataclasses import replace

import pytest
import torch
from support import COUPLINGS, KERNELS, dataset, randomise, run_settings

from vct.couplings.base import PairingContext
from vct.couplings.generator_augmented import GeneratorAugmented
from vct.couplings.independent import Independent
from vct.couplings.minibatch_ot import MinibatchOT, assignment
from vct.couplings.variational import gaussian_kl
from vct.lab import build
from vct.misfit import Misfit
from vct.rng import Draw

SHAPE = (2, 4, 4)
BASES = {name: COUPLINGS[name] for name in ("independent", "ot", "variational", "sinkhorn")}
BASE = pytest.mark.parametrize("base", BASES)


def built(base, **options):
    settings = {"kind": "generator_augmented", "base": BASES[base], "mu": 1.0, **options}
    model = build.model(run_settings(settings), dataset(SHAPE), 0)
    return randomise(model).coupling.eval()


def batch(size=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x, eps = torch.randn(2, size, *SHAPE, generator=generator)
    return x / 2, eps


def context(model, size=5, kernel="li", key=(0, 0), **changes):
    t, r = torch.linspace(1, 5, size), torch.linspace(0.5, 2, size)
    return replace(PairingContext(t, r, KERNELS[kernel], model, Draw(*key)), **changes)


def squash(x_t, t, labels):
    """Some averaged model."""
    return torch.tanh(x_t) / (1 + t[:, None, None, None])


def never(x_t, t, labels):
    return torch.full_like(x_t, torch.nan)


@BASE
@pytest.mark.parametrize("kernel", KERNELS)
def test_lower_point_of_the_base_becomes_the_data(base, kernel):
    coupling, (x, eps) = built(base), batch()
    here = context(squash, kernel=kernel)
    before, pair = coupling.base.pair(x, eps, here), coupling.pair(x, eps, here)
    lower = here.kernel(before.x, before.z, here.r)
    torch.testing.assert_close(pair.x, squash(lower, here.r, None).detach())
    assert torch.equal(pair.z, before.z)
    assert torch.equal(pair.kl, before.kl)
    assert coupling.kl_weight == coupling.base.kl_weight


@BASE
@pytest.mark.parametrize("noise", ["keep", "recouple"])
def test_a_perfect_model_changes_nothing(base, noise):
    coupling, (x, eps) = built(base, noise=noise), batch()
    here = context(lambda *_: x)
    before, pair = coupling.base.pair(x, eps, here), coupling.pair(x, eps, here)
    for part in ("x", "z", "kl"):
        assert torch.equal(getattr(pair, part), getattr(before, part))


@pytest.mark.parametrize("mu", [0.1, 0.5, 0.9])
def test_share_of_replaced_samples(mu):
    coupling, (x, eps) = built("independent", mu=mu), batch(4000)
    pair = coupling.pair(x, eps, context(squash, 4000))
    replaced = (pair.x != x).flatten(1).any(dim=1)
    assert replaced.float().mean().item() == pytest.approx(mu, abs=0.03)
    # Whole samples are replaced, and every kind of noise level among them.
    assert ((pair.x != x).flatten(1).all(dim=1) == replaced).all()
    assert replaced[:2000].float().mean().item() == pytest.approx(mu, abs=0.04)


def test_who_is_replaced_depends_on_seed_and_step_alone():
    coupling, (x, eps) = built("independent", mu=0.5), batch(64)

    def replaced(key, model=squash):
        pair = coupling.pair(x, eps, context(model, 64, key=key))
        return (pair.x != x).flatten(1).any(dim=1)

    assert torch.equal(replaced((0, 7)), replaced((0, 7), lambda x_t, t, labels: x_t + 1))
    assert not torch.equal(replaced((0, 7)), replaced((0, 8)))
    assert not torch.equal(replaced((0, 7)), replaced((1, 7)))


def test_data_stay_where_the_lower_level_is_zero():
    coupling, (x, eps) = built("independent"), batch()
    pair = coupling.pair(x, eps, context(never, r=torch.zeros(5)))
    assert torch.equal(pair.x, x)
    mixed = torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0])
    pair = coupling.pair(x, eps, context(squash, r=mixed))
    assert ((pair.x != x).flatten(1).any(dim=1) == (mixed > 0)).all()


def test_model_sees_the_labels():
    labels = torch.eye(5)
    seen = []
    built("independent").pair(
        *batch(), context(lambda x_t, t, given: seen.append(given) or x_t, labels=labels)
    )
    assert seen[0] is labels


def test_recoupled_noise_is_that_of_the_generated_image():
    coupling, (x, eps) = built("variational", noise="recouple"), batch()
    pair = coupling.pair(x, eps, context(squash))
    mean, std = coupling.base.posterior(pair.x)
    assert not torch.allclose(pair.x, x)
    torch.testing.assert_close(pair.z, mean + std * eps)
    torch.testing.assert_close(pair.kl, gaussian_kl(mean, std))


def test_recoupled_plan_is_optimal_for_the_generated_images():
    coupling, (x, eps) = built("ot", noise="recouple"), batch(32)
    pair = coupling.pair(x, eps, context(lambda x_t, t, labels: -x, 32))
    assert torch.equal(pair.x, -x)
    assert torch.equal(pair.z, eps[assignment(-x, eps)])


def test_bases_that_could_not_pair_replaced_points_are_refused():
    with pytest.raises(Misfit, match="paired anew over several batches; choose 'keep'"):
        GeneratorAugmented(MinibatchOT(pool=2), noise="recouple")

    class Choosing(Independent):
        def pair(self, x, eps, context):
            return super().pair(x.flip(0), eps, context)

    with pytest.raises(Misfit, match="Choosing chooses the data points"):
        GeneratorAugmented(Choosing(), noise="recouple").pair(*batch(), context(squash))


@pytest.mark.parametrize("noise", ["keep", "recouple"])
def test_generated_images_are_data_without_gradient(noise):
    coupling, (x, eps) = built("variational", noise=noise), batch()
    pair = coupling.pair(x, eps, context(squash))
    assert not pair.x.requires_grad
    assert pair.z.requires_grad
    assert pair.kl.requires_grad


@BASE
def test_sampler_pairs_as_the_base_does(base):
    coupling, (x, eps) = built(base), batch()
    assert torch.equal(coupling.couple(x, eps), coupling.base.couple(x, eps))
    assert coupling.summary(x) == coupling.base.summary(x)


def test_base_starts_from_the_same_weights():
    """The encoder does not depend on whether generated points are mixed in."""
    plain = build.model(run_settings("variational"), dataset(SHAPE), 0).coupling
    augmented = build.model(
        run_settings({"kind": "generator_augmented", "base": BASES["variational"]}),
        dataset(SHAPE),
        0,
    ).coupling
    for name, tensor in plain.state_dict().items():
        assert torch.equal(augmented.state_dict()[f"base.{name}"], tensor)


def test_it_depends_on_what_its_base_depends_on():
    """So that pairs of independent noise may be made sample by sample, and those of a plan not."""
    assert GeneratorAugmented(Independent()).scope == "sample"
    assert built("ot").scope == "batch"
