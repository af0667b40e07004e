"""Formulas, losses with gradients, and samples agree with the published implementation."""

import math

import numpy as np
import pytest
import torch
from support import TinyNetwork

from vct.averages.ema import power_decay, power_exponent
from vct.couplings.base import PairingContext
from vct.couplings.independent import Independent
from vct.couplings.variational import Variational
from vct.kernels import LinearInterpolation, VarianceExploding
from vct.objectives.ecm import ECM, edm_weight
from vct.objectives.ict import ICT
from vct.preconditioning import ConsistencyFunction, boundary_scalings, plain_scalings
from vct.rng import Draw
from vct.samplers.few_step import FewStep
from vct.schedules import ecm_lower_time, ecm_stage, grid_points, interval_probabilities

KERNELS = {"ve": VarianceExploding(80.0), "li": LinearInterpolation(80.0)}
SHAPE = (2, 5, 5)


def close(actual, expected, rtol=1e-5):
    """Equal to `rtol` of each number, or of the array's largest for one that nearly cancels."""
    actual = torch.as_tensor(actual).detach().numpy()
    scale = float(np.abs(expected).max())
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol * scale)


def tensor(array):
    return torch.from_numpy(np.array(array))


@pytest.mark.parametrize("name", KERNELS)
def test_kernel(golden, name):
    t = tensor(golden["kernel_t"])
    x, z = tensor(golden["kernel_x"]), tensor(golden["kernel_z"])
    close(KERNELS[name](x, z, t), golden[f"kernel_{name}_forward"])


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("kind", ["boundary", "plain"])
def test_scalings(golden, name, kind):
    t = tensor(golden["kernel_t"])
    if kind == "plain":
        scalings = plain_scalings(KERNELS[name], t, 0.5)
    else:
        scalings = boundary_scalings(KERNELS[name], t, 0.5, 0.002)
    for field in ("c_in", "c_skip", "c_out"):
        close(getattr(scalings, field), golden[f"kernel_{name}_{kind}_{field}"])


def test_grid_points(golden):
    large = [grid_points(int(k), 400_000, 10, 1280) for k in golden["ict_k"]]
    small = [grid_points(int(k), 1000, 10, 160) for k in golden["ict_k_small"]]
    assert large == golden["ict_n_400k_10_1280"].tolist()
    assert small == golden["ict_n_1000_10_160"].tolist()


@pytest.mark.parametrize("n", [11, 41])
def test_grid(golden, n):
    objective = ICT(80.0)
    grid = objective.grid(n)
    close(grid, golden[f"ict_sigmas_{n}"])
    close(interval_probabilities(grid, -1.1, 2.0), golden[f"ict_pmf_{n}"])
    levels = objective.levels_at(grid, torch.arange(n - 1))
    close(levels.weight, golden[f"ict_weights_{n}"])


def test_huber(golden):
    a, b = tensor(golden["huber_a"]), tensor(golden["huber_b"])
    close(ICT(80.0).distance(a, b), golden["huber"].reshape(len(a), -1).sum(axis=1))


@pytest.mark.parametrize(("q", "stages"), [(2.0, 8), (4.0, 4)])
def test_ecm_lower_time(golden, q, stages):
    t = tensor(golden["ecm_t"])
    for step, expected in zip(
        golden["ecm_steps"], golden[f"ecm_r_q{q:.0f}_stages{stages}"], strict=True
    ):
        r = ecm_lower_time(t, ecm_stage(int(step), 8000, stages), q, 8.0, 1.0)
        close(r, expected)


def test_ecm_weight(golden):
    close(edm_weight(tensor(golden["ecm_t"]), 0.5), golden["ecm_weight_edm"])


@pytest.mark.parametrize("width", [0.05, 0.1])
def test_power_ema(golden, width):
    exponent = power_exponent(width)
    decays = [power_decay(int(k), exponent) for k in golden["ema_power_t"]]
    close(np.array(decays), golden[f"ema_power_beta_{width}"])


def _coupling(golden, prefix):
    if "vae" not in prefix:
        return Independent()
    encoder = TinyNetwork(golden[f"{prefix}_enc_w"], golden[f"{prefix}_enc_b"])
    kl_weight = 30.0 if prefix.startswith("ict") else 90.0 if "edmweight" in prefix else 10.0
    return Variational(encoder, kl_weight, 0.5, initial_std=math.log(2))


def _objective(golden, prefix, kernel):
    step = int(golden[f"{prefix}_step"])
    if prefix.startswith("ict"):
        objective = ICT(80.0, s0=10, s1=160)
        grid = objective.grid(grid_points(step, 1000, 10, 160))
        return objective, objective.levels_at(grid, tensor(golden[f"{prefix}_idx"]))
    published = {"q": 4.0, "stages": 4, "c": 0.06, "p_mean": -0.8, "p_std": 1.6, "weight": "edm"}
    settings = published if "edmweight" in prefix else {}
    objective = ECM(80.0, clip=kernel == "li", **settings)
    return objective, objective.levels_at(step, 1000, tensor(golden[f"{prefix}_tnormal"]))


LOSSES = [
    f"{objective}_{kernel}_{case}"
    for kernel in ("ve", "li")
    for objective, case in [
        ("ict", "independent"),
        ("ict", "vae"),
        ("ecm", "independent"),
        ("ecm", "vae"),
        ("ecm", "vae_edmweight"),
    ]
]


@pytest.mark.parametrize("prefix", LOSSES)
def test_loss_and_gradients(golden, prefix):
    kernel = prefix.split("_")[1]
    network = TinyNetwork(golden[f"{prefix}_net_w"], golden[f"{prefix}_net_b"])
    coupling = _coupling(golden, prefix)
    objective, levels = _objective(golden, prefix, kernel)
    f = ConsistencyFunction(network, KERNELS[kernel], 0.5, objective.train_t_min)
    x, eps = tensor(golden[f"{prefix}_x"]), tensor(golden[f"{prefix}_eps"])
    context = PairingContext(levels.t, levels.r, KERNELS[kernel], None, Draw(0, 0))
    pair = coupling.pair(x, eps, context)
    loss = objective.loss(f, pair, levels, None, coupling.kl_weight, Draw(0, 0))
    loss.total.backward()
    close(loss.total, golden[f"{prefix}_loss"])
    close(loss.consistency, golden[f"{prefix}_consistency_loss"])
    close(network.w.grad, golden[f"{prefix}_grad_net_w"])
    close(network.b.grad, golden[f"{prefix}_grad_net_b"])
    if "vae" in prefix:
        close(loss.kl, golden[f"{prefix}_kl_divergence"])
        close(coupling.encoder.w.grad, golden[f"{prefix}_grad_enc_w"])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("case", ["independent", "vae"])
def test_samples(golden, kernel, case):
    prefix = f"sample_{kernel}_{case}"
    network = TinyNetwork(golden[f"{prefix}_net_w"], golden[f"{prefix}_net_b"])
    f = ConsistencyFunction(network, KERNELS[kernel], 0.5, 0.002)
    coupling = _coupling(golden, prefix)
    z0, z1 = (tensor(golden[f"{prefix}_{z}"]).double() for z in ("z0", "z1"))
    with torch.no_grad():
        one, two = FewStep([80.0, 0.821])(f, coupling, [z0, z1])
    close(one, golden[f"{prefix}_1step"])
    close(two, golden[f"{prefix}_2step"])
