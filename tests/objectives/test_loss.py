"""What holds for every objective: the teacher, the mask, the target, the order of the batch."""

from functools import partial

import pytest
import torch
from support import KERNELS, MLP, UNET, dataset, randomise, run_settings, tiny_network
from torch import nn

from vct.couplings.base import Pair
from vct.kernels import LinearInterpolation
from vct.lab import build
from vct.misfit import Misfit
from vct.objectives.base import Levels
from vct.objectives.ecm import ECM
from vct.objectives.edm import EDM
from vct.objectives.ict import ICT
from vct.objectives.sct import SCT
from vct.preconditioning import ConsistencyFunction
from vct.rng import Draw

SHAPE = (2, 4, 4)
OBJECTIVES = {
    "ict": ICT(80.0),
    "ict-norm": ICT(80.0, distance="norm"),
    "ecm": ECM(80.0),
    "ecm-huber": ECM(80.0, c=0.06, weight="edm"),
}
EVERY = pytest.mark.parametrize("name", OBJECTIVES)


def pair(size=5, seed=0):
    x, z = torch.randn(2, size, *SHAPE, generator=torch.Generator().manual_seed(seed))
    return Pair(x / 2, z, torch.arange(size) / 10)


def levels(t, r, weight=None):
    t, r = torch.tensor(t), torch.tensor(r)
    weight = torch.ones(len(t)) if weight is None else weight
    return Levels(t, r, weight, 0.5, 11)


def function(network, objective, kernel="ve"):
    return ConsistencyFunction(network, KERNELS[kernel], 0.5, objective.train_t_min)


class Watched(nn.Module):
    """Remembers whether gradients were on, and at which time, in each call."""

    def __init__(self):
        super().__init__()
        self.inner, self.calls = tiny_network(), []

    def forward(self, x, c_noise, labels=None):
        self.calls.append((torch.is_grad_enabled(), torch.exp(4 * c_noise), labels))
        return self.inner(x, c_noise)


@EVERY
def test_teacher_runs_below_and_without_gradient(name):
    objective, network, labels = OBJECTIVES[name], Watched(), torch.eye(5)
    t, r = [0.5, 1.0, 2.0, 4.0, 8.0], [0.1, 0.2, 0.3, 0.4, 0.5]
    objective.loss(function(network, objective), pair(), levels(t, r), labels, 1.0, Draw(0, 0))
    student, teacher = network.calls
    assert [student[0], teacher[0]] == [True, False]
    torch.testing.assert_close(student[1], torch.tensor(t))
    torch.testing.assert_close(teacher[1], torch.tensor(r))
    assert student[2] is labels
    assert teacher[2] is labels


class Sides(nn.Module):
    """The student is asked first; both answer in double precision."""

    def __init__(self, student, teacher):
        super().__init__()
        self.student, self.teacher, self.calls = student, teacher, 0

    def forward(self, x, c_noise, labels=None):
        self.calls += 1
        network = self.student if self.calls == 1 else self.teacher
        return network(x.double(), c_noise.double())


@EVERY
def test_gradient_is_that_of_a_constant_target(name):
    """The derivative along a direction is the slope of the loss with the teacher held still."""
    objective, network = OBJECTIVES[name], tiny_network().double()
    batch = Pair(*(part.double() for part in (pair().x, pair().z, pair().kl)))
    given = levels([0.5, 1.0, 2.0, 4.0, 8.0], [0.1, 0.2, 0.3, 0.4, 0.5])
    direction = torch.randn(network.w.shape, generator=torch.Generator().manual_seed(3)).double()

    def total(student):
        f = function(Sides(student, network), objective)
        return objective.loss(f, batch, given, None, 0.0, Draw(0, 0)).total

    def moved(size):
        student = tiny_network().double()
        with torch.no_grad():
            student.w.add_(size * direction)
        return total(student).item()

    total(network).backward()
    slope = (network.w.grad * direction).sum().item()
    assert slope == pytest.approx((moved(1e-5) - moved(-1e-5)) / 2e-5, rel=1e-3)


@EVERY
@pytest.mark.parametrize("network", [{**MLP, "dropout": 0.5}, {**UNET, "dropout": 0.5}])
def test_student_and_teacher_drop_the_same_units(name, network):
    settings = run_settings(network=network)
    model = randomise(build.model(settings, dataset(SHAPE), 0)).train()
    objective = OBJECTIVES[name]
    same = [0.5, 1.0, 2.0, 4.0, 8.0]
    f = function(model.network, objective)
    record = objective.loss(f, pair(), levels(same, same), None, 0.0, Draw(0, 0))
    assert record.consistency.item() == pytest.approx(0, abs=1e-15)
    # Another step has another mask: dropout is on.
    x_t, t = pair().x, torch.ones(5)
    with torch.no_grad():
        outputs = []
        for step in (0, 1):
            torch.manual_seed(step)
            outputs.append(f(x_t, t))
    assert not torch.allclose(*outputs)


@EVERY
def test_target_at_zero_is_the_data(name):
    """No network is asked at r = 0, and its answer elsewhere is not disturbed."""
    objective, network = OBJECTIVES[name], tiny_network()
    f, batch = function(network, objective), pair(4)
    t = torch.tensor([0.5, 1.0, 2.0, 4.0])
    student = f(f.kernel(batch.x, batch.z, t), t)
    all_data = objective.loss(f, batch, levels(t.tolist(), [0.0] * 4), None, 0.0, Draw(0, 0))
    expected = objective.distance(student, batch.x).mean()
    assert all_data.consistency.item() == pytest.approx(expected.item(), rel=1e-6)
    r = torch.tensor([0.0, 0.25, 0.0, 1.0])
    target = torch.stack(
        [
            batch.x[i] if r[i] == 0 else f(batch.x[i : i + 1] + r[i] * batch.z[i], r[i : i + 1])[0]
            for i in range(4)
        ]
    )
    mixed = objective.loss(f, batch, levels(t.tolist(), r.tolist()), None, 0.0, Draw(0, 0))
    expected = objective.distance(student, target).mean()
    assert mixed.consistency.item() == pytest.approx(expected.item(), rel=1e-5)
    mixed.total.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())


@EVERY
def test_order_of_the_batch_does_not_matter(name):
    objective, network = OBJECTIVES[name], tiny_network()
    t, r = torch.tensor([0.5, 1.0, 2.0, 4.0, 8.0]), torch.tensor([0.0, 0.2, 0.3, 0.4, 0.5])
    weight, shuffle = 1 / (t - r), torch.tensor([3, 0, 4, 1, 2])
    batch, f = pair(), function(network, objective)
    first = objective.loss(f, batch, Levels(t, r, weight, 0.5, 11), None, 2.0, Draw(0, 0))
    moved = Pair(batch.x[shuffle], batch.z[shuffle], batch.kl[shuffle])
    shuffled = Levels(t[shuffle], r[shuffle], weight[shuffle], 0.5, 11)
    second = objective.loss(f, moved, shuffled, None, 2.0, Draw(0, 0))
    torch.testing.assert_close(second.total, first.total)
    torch.testing.assert_close(second.consistency, first.consistency)


@EVERY
def test_total_is_weighted_distance_and_divergence(name):
    objective, f = OBJECTIVES[name], function(tiny_network(), OBJECTIVES[name])
    t, r = [0.5, 1.0, 2.0, 4.0, 8.0], [0.1, 0.2, 0.3, 0.4, 0.5]

    def total(weight, kl_weight):
        given = levels(t, r, torch.full((5,), weight))
        return objective.loss(f, pair(), given, None, kl_weight, Draw(0, 0))

    record = total(1.0, 0.0)
    torch.testing.assert_close(record.total.detach(), record.consistency)
    torch.testing.assert_close(total(3.0, 0.0).total, 3 * record.total)
    # What is logged is the distance before weighting; what tells samples apart is weighted.
    torch.testing.assert_close(total(3.0, 0.0).consistency, record.consistency)
    torch.testing.assert_close(total(3.0, 0.0).each, 3 * record.each)
    torch.testing.assert_close(record.each.mean(), record.total.detach())
    assert not record.each.requires_grad
    # Each weight multiplies its own sample.
    one_each = [
        objective.loss(f, pair(), levels(t, r, row), None, 0.0, Draw(0, 0)).total
        for row in torch.eye(5)
    ]
    weight = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0])
    mixed = objective.loss(f, pair(), levels(t, r, weight), None, 0.0, Draw(0, 0)).total
    torch.testing.assert_close(mixed, (weight * torch.stack(one_each)).sum())
    assert len({round(total.item(), 5) for total in one_each}) == 5
    assert record.kl.item() == pytest.approx(0.2)
    # levels() has a kl_scale of 1/2.
    torch.testing.assert_close(total(1.0, 4.0).total - record.total, torch.tensor(4 * 0.5 * 0.2))
    assert not record.consistency.requires_grad
    assert not record.kl.requires_grad


@EVERY
def test_levels_are_a_function_of_the_generator(name):
    objective = OBJECTIVES[name]

    def draw(seed):
        return objective.levels(3, 100, 64, torch.Generator().manual_seed(seed))

    assert torch.equal(draw(1).t, draw(1).t)
    assert not torch.equal(draw(1).t, draw(2).t)
    drawn = draw(1)
    assert (drawn.r >= 0).all()
    assert (drawn.r < drawn.t).all()
    assert (drawn.weight > 0).all()
    assert torch.isfinite(drawn.weight).all()


@pytest.mark.parametrize("kind", [ECM, EDM, partial(SCT, 0.5)])
def test_times_beyond_a_bounded_kernel_are_refused(kind):
    """x_t would hold the data with a negative sign."""
    draws = torch.Generator().manual_seed(0)
    for clip in (False, True):
        objective = kind(1.0, clip=clip)
        f = ConsistencyFunction(tiny_network(), LinearInterpolation(1.0), 0.5, None)
        given = objective.levels(0, 10, 5, draws)
        if clip:
            assert given.t.max() <= 1
            objective.loss(f, pair(), given, None, 0.0, Draw(0, 0))
        else:
            with pytest.raises(Misfit, match="draws times beyond T, where Linear"):
                objective.loss(f, pair(), given, None, 0.0, Draw(0, 0))


@EVERY
def test_a_loss_leaves_the_default_generator_as_it_was(name):
    """A loop that draws its data from it would have the same ones whatever its seed."""
    objective, network = OBJECTIVES[name], tiny_network()
    given = levels([0.5, 1.0, 2.0, 4.0, 8.0], [0.1, 0.2, 0.3, 0.4, 0.5])
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    objective.loss(function(network, objective), pair(), given, None, 1.0, Draw(0, 0))
    assert torch.equal(torch.rand(3), wanted)
