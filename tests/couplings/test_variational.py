"""The posterior, its divergence, and how the encoder learns."""

import pytest
import torch
from pydantic import ValidationError
from support import KERNELS, MLP, UNET, dataset, pairing, randomise, run_settings
from torch.distributions import Normal, kl_divergence

from vct.couplings.conditional import Conditional
from vct.couplings.minibatch_ot import MinibatchOT
from vct.couplings.variational import Variational, gaussian_kl
from vct.lab import build
from vct.misfit import Misfit
from vct.objectives.base import Levels
from vct.objectives.ict import ICT
from vct.rng import Draw

SHAPE = (2, 4, 4)


def built(encoder=MLP, shape=SHAPE, **options):
    coupling = {"kind": "variational", "kl_weight": 3.0, "encoder": encoder, **options}
    return build.model(run_settings(coupling), dataset(shape), 0).coupling


@pytest.fixture
def trained():
    """A coupling whose posterior differs from image to image."""
    return randomise(built(initial_std=0.6)).eval()


def images(size, seed=0):
    return torch.rand(size, *SHAPE, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def context(size, t=1.0, r=0.5):
    return pairing(size, t, r)


def test_divergence_is_that_of_torch(trained):
    mean, std = trained.posterior(images(5))
    expected = kl_divergence(Normal(mean, std), Normal(0.0, 1.0)).sum(dim=(1, 2, 3))
    pair = trained.pair(images(5), torch.randn(5, *SHAPE), context(5))
    torch.testing.assert_close(pair.kl, expected)
    torch.testing.assert_close(gaussian_kl(mean, std), expected)
    assert (pair.kl > 0).all()


def test_divergence_of_the_prior_is_zero():
    assert gaussian_kl(torch.zeros(3, 4), torch.ones(3, 4)).tolist() == [0, 0, 0]


def test_noise_has_the_moments_of_the_posterior(trained):
    x, count = images(2), 20_000
    mean, std = trained.posterior(x)
    eps = torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(1))
    for index in range(2):
        z = trained.couple(x[index : index + 1].expand(count, -1, -1, -1), eps)
        torch.testing.assert_close(z.mean(dim=0), mean[index], atol=0.03, rtol=0.03)
        torch.testing.assert_close(z.std(dim=0), std[index], atol=0.03, rtol=0.03)


def test_sampler_and_training_pair_alike(trained):
    x, eps = images(5), torch.randn(5, *SHAPE)
    assert torch.equal(trained.pair(x, eps, context(5)).z, trained.couple(x, eps))


def test_precision_of_the_sampler_is_kept(trained):
    x, eps = images(5), torch.randn(5, *SHAPE)
    double = trained.couple(x.double(), eps.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), trained.couple(x, eps))


@pytest.mark.parametrize(
    ("encoder", "shape"),
    [(MLP, (2, 1, 1)), ({"kind": "mlp", "width": 256, "depth": 4}, (1, 8, 8)), (UNET, (1, 8, 8))],
)
def test_training_starts_at_the_prior(encoder, shape):
    coupling = built(encoder, shape, initial_std=1.0)
    x = torch.rand(16, *shape) * 2 - 1
    pair = coupling.pair(x, torch.randn(16, *shape), context(16))
    assert pair.kl.mean() / x[0].numel() < 1e-3


def test_published_start():
    """softplus(0) = ln 2 when nothing shifts it."""
    coupling = built(UNET, (1, 8, 8), initial_std=0.6931471805599453)
    assert coupling.shift == pytest.approx(0, abs=1e-12)


def test_aggregate_variance_is_that_of_many_draws(trained):
    x = images(700)
    count = 200
    eps = torch.randn(count, 700, *SHAPE, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        z = torch.cat([trained.couple(x, draw) for draw in eps])
    measured = z.double().var(dim=0).mean().item()
    assert trained.summary(x)["aggregate_variance"] == pytest.approx(measured, rel=0.01)


def test_aggregate_variance_of_the_prior_is_one():
    coupling = built(initial_std=1.0)
    with torch.no_grad():
        for parameter in coupling.parameters():
            parameter.zero_()
    assert coupling.summary(images(10))["aggregate_variance"] == pytest.approx(1, abs=1e-6)


class OneSided:
    """f that looks at x_t at one noise level alone."""

    kernel = KERNELS["ve"]

    def __init__(self, level):
        self.level = level

    def __call__(self, x_t, t, labels):
        return torch.where((t == self.level)[:, None, None, None], torch.sin(x_t), 0.0)


@pytest.mark.parametrize(("level", "reached"), [(1.0, True), (0.5, False)])
def test_gradient_reaches_the_encoder_through_the_student_alone(trained, level, reached):
    pair = trained.pair(images(5), torch.randn(5, *SHAPE), context(5))
    levels = Levels(torch.ones(5), torch.full((5,), 0.5), torch.ones(5), 1.0, 11)
    loss = ICT(80.0).loss(OneSided(level), pair, levels, None, 0.0, Draw(0, 0))
    loss.total.backward()
    size = sum(parameter.grad.abs().sum() for parameter in trained.parameters())
    assert bool(size > 0) == reached


def test_divergence_teaches_the_encoder(trained):
    pair = trained.pair(images(5), torch.randn(5, *SHAPE), context(5))
    levels = Levels(torch.ones(5), torch.full((5,), 0.5), torch.zeros(5), 0.25, 11)
    record = ICT(80.0).loss(OneSided(-1.0), pair, levels, None, 8.0, Draw(0, 0))
    assert record.total.item() == pytest.approx(8 * 0.25 * pair.kl.mean().item(), rel=1e-5)
    record.total.backward()
    assert sum(parameter.grad.abs().sum() for parameter in trained.parameters()) > 0


class Encoder(torch.nn.Module):
    """mu = std's raw = x, remembering what it was asked."""

    def forward(self, x, c_noise, labels):
        self.x, self.c_noise, self.labels = x, c_noise, labels
        return torch.cat([x, x], dim=1)


@pytest.mark.parametrize("labels", [None, torch.eye(3)])
def test_encoder_sees_scaled_images_at_time_zero_and_the_labels(labels):
    encoder = Encoder()
    coupling = Variational(encoder, 1.0, sigma_data=0.25)
    x = images(3)
    for ask in (
        lambda: coupling.posterior(x, labels),
        lambda: coupling.couple(x, torch.zeros_like(x), labels),
        lambda: coupling.pair(x, torch.zeros_like(x), pairing(3, labels=labels)),
        lambda: coupling.summary(x, labels),
    ):
        encoder.x = encoder.labels = encoder.c_noise = None
        ask()
        torch.testing.assert_close(encoder.x, x * 4)
        assert encoder.c_noise.tolist() == [0, 0, 0]
        assert encoder.labels is labels or torch.equal(encoder.labels, labels)


def test_encoder_of_a_conditional_training_tells_classes_apart():
    data = dataset(SHAPE, classes=3)
    settings = run_settings("variational", conditional=True)
    coupling = randomise(build.model(settings, data, 0).coupling)
    x = images(1).expand(3, *SHAPE)
    mean, std = coupling.posterior(x, torch.eye(3))
    assert not torch.allclose(mean[0], mean[1])
    assert not torch.allclose(std[1], std[2])


def test_divergence_is_finite_where_softplus_underflows():
    class Small(torch.nn.Module):
        def forward(self, x, c_noise, labels):
            return torch.cat([x, torch.full_like(x, -200.0)], dim=1)

    pair = Variational(Small(), 1.0).pair(images(2), torch.zeros(2, *SHAPE), context(2))
    assert pair.kl.isfinite().all()


def test_dropout_of_the_encoder_depends_on_the_step():
    coupling = randomise(built({**MLP, "dropout": 0.5})).train()
    x, eps = images(5), torch.randn(5, *SHAPE)

    def z(step):
        return coupling.pair(x, eps, pairing(draw=Draw(0, step))).z

    assert torch.equal(z(1), z(1))
    assert not torch.equal(z(1), z(2))


def over(base, **options):
    return randomise(built(initial_std=0.6, base=base, **options)).eval()


def test_over_a_base_it_moves_and_scales_the_noise_of_the_base():
    coupling, x, eps = over({"kind": "ot"}), images(5), torch.randn(5, *SHAPE)
    mean, std = coupling.encoded(x)
    plan = MinibatchOT().couple(x, eps)
    assert not torch.equal(plan, eps)
    pair = coupling.pair(x, eps, context(5))
    torch.testing.assert_close(pair.z, mean + std * plan)
    torch.testing.assert_close(coupling.couple(x, eps), pair.z)
    torch.testing.assert_close(pair.kl, gaussian_kl(mean, std))


def test_over_a_base_it_pairs_as_many_samples_together_as_the_base():
    """The sampler and the training step go by these."""
    assert built().scope == "sample"
    pooled = over({"kind": "ot", "pool": 4})
    assert (pooled.scope, pooled.pool) == ("batch", 4)
    assert over({"kind": "knn"}).scope == "sample"


def test_over_a_base_it_starts_where_the_base_does(monkeypatch):
    monkeypatch.setattr(MinibatchOT, "start", lambda self, eps, labels=None: 2 * eps)
    eps = torch.randn(2, *SHAPE)
    assert torch.equal(over({"kind": "ot"}).start(eps), 2 * eps)
    assert torch.equal(built().start(eps), eps)


def test_noise_that_depends_on_the_data_has_no_posterior():
    assert over({"kind": "ot"}).posterior(images(2)) is None
    assert randomise(built()).posterior(images(2)) is not None


def test_points_and_weights_of_the_base_are_kept():
    coupling, x, eps = over({"kind": "weighted"}), images(5), torch.randn(5, *SHAPE)
    torch.testing.assert_close(
        coupling.pair(x, eps, context(5)).weight, coupling.base.pair(x, eps, context(5)).weight
    )
    other = over({"kind": "semidiscrete", "iterations": 5})
    pair = other.pair(x, eps, context(5))
    torch.testing.assert_close(pair.x, other.base.pair(x, eps, context(5)).x)
    assert not torch.equal(pair.x, x)
    mean, std = other.encoded(pair.x)
    torch.testing.assert_close(pair.z, mean + std * eps)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base": {"kind": "loom"}}, "base: the noises that images keep cannot be moved"),
        (
            {"base": {"kind": "sinkhorn", "over": "device"}},
            "base.over: an encoder learns from parts",
        ),
        ({"base": {"kind": "ot"}, "prior": "moments"}, "prior: moments are those of independent"),
        ({"base": {"kind": "ot", "clip_grad_norm": 1.0}}, "base.clip_grad_norm would do nothing"),
        ({"base": {"kind": "variational", "kl_weight": 1, "encoder": MLP}}, "unknown member"),
    ],
)
def test_bases_that_would_do_nothing_or_harm_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        built(**options)


class Priced(MinibatchOT):
    kl_weight = 1.0


@pytest.mark.parametrize(
    ("base", "prior"),
    [
        (built(), "standard"),
        (MinibatchOT(), "moments"),
        (MinibatchOT("device"), "standard"),
        (Priced(), "standard"),
        (Conditional(SHAPE, factor=2), "standard"),
    ],
)
def test_a_library_user_is_told_which_bases_fit(base, prior):
    with pytest.raises(Misfit, match="must learn nothing"):
        Variational(torch.nn.Identity(), 1.0, prior=prior, shape=SHAPE, base=base)


def test_an_encoder_of_another_shape_is_refused():
    class Flat(torch.nn.Module):
        def forward(self, x, t, labels=None):
            return torch.zeros(len(x), 4)

    coupling = Variational(Flat(), 1.0, sigma_data=0.5)
    with pytest.raises(Misfit, match=r"the answer of Flat, an encoder, has shape \(3, 4\), not"):
        coupling.couple(torch.zeros(3, 2, 4, 4), torch.zeros(3, 2, 4, 4))
