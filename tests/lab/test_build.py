"""Objects agree with their settings, and initial weights with the seed."""

import re

import pytest
import torch
from support import COUPLINGS, KERNELS, MLP, UNET, Fading, dataset, run_settings

from vct.lab import build
from vct.lab.errors import UserError
from vct.lab.settings import registry
from vct.lab.settings.runtime import RuntimeSettings
from vct.lab.settings.sample import SampleSettings
from vct.misfit import Misfit
from vct.objectives.ict import ICT

POINTS = dataset()


def weights(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


@pytest.mark.parametrize("coupling", COUPLINGS)
def test_all_couplings_start_from_the_same_network(coupling):
    model = build.model(run_settings(coupling), POINTS, 0)
    plain = build.model(run_settings("independent"), POINTS, 0)
    assert same(weights(model.network), weights(plain.network))


def test_initial_weights_depend_on_the_seed_alone():
    settings = run_settings("variational")
    first = weights(build.model(settings, POINTS, 3))
    torch.manual_seed(99)
    assert same(weights(build.model(settings, POINTS, 3)), first)
    assert not same(weights(build.model(settings, POINTS, 4)), first)


def test_an_own_network_takes_two_times_where_it_is_asked_at_two():
    settings = run_settings(
        network={"kind": "support.TinyNetwork"}, objective={"kind": "mean_flow"}
    )
    with pytest.raises(UserError, match=r"takes one time, and objective mean_flow asks it at two"):
        build.model(settings, POINTS, 0)
    one, two = (
        build.model(run_settings("variational", objective={"kind": kind}), POINTS, 0)
        for kind in ("ict", "mean_flow")
    )
    assert two.network.two_times and not one.network.two_times
    assert not two.coupling.encoder.two_times


def test_encoder_does_not_copy_the_network():
    model = build.model(run_settings("variational"), POINTS, 0)
    assert not torch.equal(model.network.first.weight, model.coupling.encoder.first.weight)


def test_global_randomness_is_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    build.model(run_settings("variational"), POINTS, 0)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("network", [MLP, UNET, {**UNET, "kind": "ncsnpp"}])
@pytest.mark.parametrize("conditional", [False, True])
def test_model_maps_images_to_images(network, conditional):
    images = dataset((3, 8, 8))
    model = build.model(run_settings(network=network, conditional=conditional), images, 0)
    labels = torch.eye(3)[[0, 2]] if conditional else None
    y = model.network(torch.randn(2, 3, 8, 8), torch.zeros(2), labels)
    assert y.shape == (2, 3, 8, 8)


@pytest.mark.parametrize("encoder", [MLP, UNET])
def test_encoder_has_mean_and_spread(encoder):
    coupling = {"kind": "variational", "kl_weight": 7.0, "encoder": encoder, "initial_std": 0.5}
    built = build.model(run_settings(coupling), dataset((1, 8, 8)), 0).coupling
    mean, std = built.posterior(torch.randn(4, 1, 8, 8))
    assert mean.shape == std.shape == (4, 1, 8, 8)
    assert std.mean().item() == pytest.approx(0.5, abs=0.05)
    assert built.kl_weight == 7.0


@pytest.mark.parametrize("change", [{"mult": [1, 1, 1, 1, 1]}, {"mult": [1, 1, 1, 1, 1, 1]}])
def test_levels_that_do_not_divide_the_image(change):
    network = {**UNET, **change}
    with pytest.raises(UserError, match=r"network\.mult .*8 x 8"):
        build.model(run_settings(network=network), dataset((1, 8, 8)), 0)


@pytest.mark.parametrize("name", KERNELS)
def test_kernel_knows_t_max(name):
    kernel = build.kernel(run_settings(kernel=name, t_max=12.0).train)
    assert type(kernel) is type(KERNELS[name])
    assert kernel.t_max == 12.0


class Bent(Fading):
    """A kernel whose boundary scale is 3 at t_min."""

    def boundary_scale(self, t, t_min):
        return 3 * super().boundary_scale(t, t_min)


class Number(Fading):
    """A kernel whose scale is a number."""

    def data_scale(self, t):
        return 1.0


class Wide(Fading):
    def data_scale(self, t):
        return super().data_scale(t)[:, None]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Bent, "Bent.boundary_scale is 3 at t = t_min, where it must be 1"),
        (Number, "Number.data_scale is float, not a tensor of shape (3,)"),
        (Wide, "Wide.data_scale has shape (3, 1), not (3,)"),
    ],
)
def test_an_own_kernel_that_does_not_fit_is_refused(kind, words):
    assert build.kernel(run_settings(kernel="support.Fading").train).t_max == 80
    with pytest.raises(Misfit, match=re.escape(words)):
        build.kernel(run_settings(kernel=f"{__name__}.{kind.__name__}").train)


def levels(objective, **train):
    built = build.objective(run_settings(objective=objective, **train).train)
    return built, built.levels(0, 100, 5000, torch.Generator().manual_seed(0))


def test_ict_reaches_from_t_min_to_t_max():
    objective, drawn = levels({"kind": "ict", "s0": 5, "t_min": 0.1, "p_mean": 1.0}, t_max=10.0)
    assert objective.t_min == objective.train_t_min == 0.1
    assert drawn.r.min().item() == pytest.approx(0.1)
    assert drawn.t.max().item() == pytest.approx(10.0)
    assert drawn.grid_points == 6


@pytest.mark.parametrize(("kernel", "clipped"), [("ve", False), ("li", True)])
def test_ecm_stays_in_the_range_of_the_linear_kernel(kernel, clipped):
    _, drawn = levels({"kind": "ecm", "p_mean": 3.0}, kernel=kernel)
    assert bool(drawn.t.max() <= 80) == clipped


def test_ecm_weight_knows_sigma_data():
    _, drawn = levels({"kind": "ecm", "weight": "edm"}, sigma_data=0.75)
    expected = 1 / drawn.t**2 + 1 / 0.75**2
    torch.testing.assert_close(drawn.weight, expected)


class Late(ICT):
    def __init__(self, t_max):
        super().__init__(t_max, t_min=0.5)


@pytest.mark.parametrize(
    "sample", [{"mid_times": [5.0, 0.5]}, {"priors": ["standard", "late"], "late_start": 0.5}]
)
def test_times_that_an_own_objective_does_not_train_are_refused(sample):
    train = run_settings(objective={"kind": f"{__name__}.Late"}).train
    fine = SampleSettings(num_samples=8, batch_size=8, mid_times=[5.0, 0.6])
    build.check_sampling(train, fine, (1, 8, 8))
    settings = SampleSettings(num_samples=8, batch_size=8, **sample)
    with pytest.raises(UserError, match=r"at 0.5, and objective .*Late trains it above t_min"):
        build.check_sampling(train, settings, (1, 8, 8))


def test_sobol_points_that_do_not_reach_the_data_are_refused_before_training():
    train = run_settings().train
    sobol = SampleSettings(num_samples=8, batch_size=8, noise="sobol", mid_times=[])
    build.check_sampling(train, sobol, (3, 84, 84))
    with pytest.raises(UserError, match=r"sobol has up to 21201 numbers .* 27648; choose gaussian"):
        build.check_sampling(train, sobol, (3, 96, 96))


@pytest.mark.parametrize(
    "network",
    [
        {"kind": "edm2", "channels": 200, "mult": [1], "blocks": 1, "attention": []},
        {"kind": "edm2", "channels": 68, "mult": [1, 2], "blocks": 1, "attention": [8]},
        {"kind": "adm", "channels": 132, "mult": [1], "blocks": 1, "attention": []},
        {"kind": "adm", "channels": 36, "mult": [1, 4], "blocks": 1, "attention": []},
        {"kind": "adm", "channels": 64, "mult": [1, 2, 3], "blocks": 1},
        {"kind": "edm2", "channels": 12, "mult": [1, 2], "blocks": 1},
        {"kind": "edm2", "channels": 192, "mult": [1, 2], "blocks": 1},
    ],
)
def test_a_network_is_built_exactly_if_its_widths_come_out_even(network):
    """What its settings say is what torch says."""
    train = run_settings(network=network).train
    target = registry.find(train.network.builds, "network")
    arguments = {**train.network.arguments(), "shape": (2, 8, 8), "outputs": 2}
    why = train.network.misfit(shape=(2, 8, 8))
    try:
        with torch.no_grad():
            target(**arguments)(torch.zeros(1, 2, 8, 8), torch.zeros(1), None)
    except (ValueError, RuntimeError):
        assert why and "take a multiple of 64" in why
    else:
        assert why is None


def test_optimizer_settings():
    weight = torch.nn.Parameter(torch.zeros(2))
    for kind, cls in (("radam", torch.optim.RAdam), ("adam", torch.optim.Adam)):
        chosen = {"kind": kind, "learning_rate": 0.25, "betas": [0.5, 0.75]}
        optimizer = build.optimizer(run_settings(optimizer=chosen).train.optimizer, [weight])
        assert type(optimizer) is cls
        assert optimizer.defaults["lr"] == 0.25
        assert optimizer.defaults["betas"] == (0.5, 0.75)
        assert optimizer.defaults["weight_decay"] == 0


def test_average_settings():
    model = build.model(run_settings(), POINTS, 0)

    def built(**ema):
        return build.average(run_settings(ema=ema).train.ema, model)

    assert built(kind="constant", decay=0.75).decay_at(9) == 0.75
    assert built(decay=0.75).decay_at(9) == 0.75
    power = built(kind="power", width=0.1)
    assert power.exponent == pytest.approx(6.94, abs=0.01)
    assert list(built(kind="post_hoc", widths=[0.1, 0.2], kept=2).averages) == [0.1, 0.2]


class Above:
    def __init__(self, shape, sigma_data=0.5):
        pass


class Plain(Above):
    pass


class Passing(Above):
    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)


class Closed(Passing):
    def __init__(self, scale):
        super().__init__(scale, shape=None)


@pytest.mark.parametrize(
    ("target", "names"),
    [
        (Plain, {"shape", "sigma_data"}),
        (Passing, {"scale", "shape", "sigma_data"}),
        (Closed, {"scale"}),
        (lambda train, test: None, {"train", "test"}),
    ],
)
def test_arguments_that_a_class_takes(target, names):
    assert build.accepted(target) - {"self"} == names


def test_device():
    assert build.device(RuntimeSettings(device="cpu")).type == "cpu"
    assert build.device(RuntimeSettings()).type in ("cpu", "cuda")
    with pytest.raises(UserError, match=r"device: cuda:63"):
        build.device(RuntimeSettings(device="cuda:63"))
