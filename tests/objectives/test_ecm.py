"""ECM: its levels, weights and distance."""

import math

import pytest
import scipy.stats
import torch

from vct.objectives.ecm import ECM

SHAPE = (2, 3, 3)


def draw(objective, step=0, batch=20_000):
    return objective.levels(step, 800, batch, torch.Generator().manual_seed(0))


def test_times_are_lognormal():
    drawn = draw(ECM(80.0, p_mean=-0.8, p_std=1.6))
    log_times = drawn.t.log().double().numpy()
    assert scipy.stats.kstest(log_times, "norm", args=(-0.8, 1.6)).pvalue > 1e-3


def test_clipped_times_stay_below_t_max():
    drawn = draw(ECM(2.0, clip=True))
    assert drawn.t.max() == 2.0
    assert 0.1 < (drawn.t == 2.0).float().mean() < 0.3
    assert (draw(ECM(2.0)).t > 2.0).any()


def test_lower_time_closes_in_stage_by_stage():
    objective = ECM(80.0)
    gaps = []
    for stage in range(8):
        drawn = draw(objective, step=100 * stage)
        assert drawn.grid_points == stage
        gaps.append(((drawn.t - drawn.r) / drawn.t).max().item())
    assert gaps[0] == 1
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 0.03


@pytest.mark.parametrize("step", [0, 799])
def test_consistency_weight(step):
    drawn = draw(ECM(80.0), step)
    torch.testing.assert_close(drawn.weight * (drawn.t - drawn.r), torch.ones(20_000))
    end = torch.tensor(80.0)
    lower = ECM(80.0).lower_time(end, drawn.grid_points)
    assert 1 / drawn.kl_scale == pytest.approx((end - lower).item(), rel=1e-6)


@pytest.mark.parametrize("sigma_data", [0.5, 2.0])
@pytest.mark.parametrize("step", [0, 799])
def test_edm_weight_leaves_the_divergence_alone(step, sigma_data):
    drawn = draw(ECM(80.0, sigma_data, weight="edm"), step)
    assert drawn.kl_scale == 1
    torch.testing.assert_close(drawn.weight, 1 / drawn.t**2 + 1 / sigma_data**2)


@pytest.mark.parametrize("stage", range(5))
@pytest.mark.parametrize(("q", "kappa", "b"), [(3.0, 2.0, 4.0), (2.5, 0.5, 0.2)])
def test_settings_decide_the_lower_time(q, kappa, b, stage):
    """sigmoid(-b t) is 1/2 at 0, 1/4 at ln(3)/b, and 0 far away."""
    objective = ECM(80.0, q=q, kappa=kappa, b=b, stages=5)
    assert objective.levels_at(stage, 5, torch.zeros(1)).grid_points == stage
    t = torch.tensor([1e-9, math.log(3) / b, 1e4 / b], dtype=torch.float64)
    gap = (1 + kappa * torch.tensor([0.5, 0.25, 0.0], dtype=torch.float64)) / q ** (stage + 1)
    ratio = objective.lower_time(t, stage) / t
    torch.testing.assert_close(ratio, (1 - gap).clamp(min=0), rtol=1e-6, atol=1e-6)
    levels = objective.levels_at(stage, 5, torch.linspace(-2, 2, 9))
    torch.testing.assert_close(levels.r, objective.lower_time(levels.t, stage))


def test_distance_without_constant_is_the_norm():
    student, teacher = torch.randn(2, 4, *SHAPE)
    expected = torch.linalg.vector_norm((student - teacher).flatten(1), dim=1)
    torch.testing.assert_close(ECM(80.0).distance(student, teacher), expected)


def test_distance_with_constant_lies_between_square_and_norm():
    student = torch.randn(4, *SHAPE).double()
    huber = ECM(80.0, c=0.5)
    near = 1e-4 * torch.randn(4, *SHAPE).double()
    expected = (near**2).flatten(1).sum(dim=1) / (2 * 0.5)
    torch.testing.assert_close(huber.distance(student, student + near), expected, rtol=1e-3, atol=0)
    far = 1e6 * torch.randn(4, *SHAPE).double()
    torch.testing.assert_close(
        huber.distance(student, student + far), far.flatten(1).norm(dim=1), rtol=1e-5, atol=0
    )


@pytest.mark.parametrize("c", [0.0, 0.06])
def test_gradient_is_zero_where_the_distance_is(c):
    student = torch.randn(4, *SHAPE).requires_grad_()
    distance = ECM(80.0, c=c).distance(student, student.detach())
    distance.sum().backward()
    assert distance.abs().max() < 1e-12
    assert student.grad.abs().max() == 0


def test_training_scalings_have_no_boundary():
    assert ECM(80.0).train_t_min is None
    assert ECM(80.0, t_min=0.01).t_min == 0.01
