"""No permutation is nearer to what the model makes, and data and noise keep their distributions."""

import itertools

import pytest
import torch
from support import KERNELS, pairing

from vct.couplings.minibatch_ot import MinibatchOT
from vct.couplings.model_ot import ModelOT
from vct.kernels import expand

SHAPE, T = (2, 2, 2), 80.0


def batch(seed, size=6):
    return torch.randn(size, *SHAPE, generator=torch.Generator().manual_seed(seed))


def crooked(x_t, t, labels=None):
    """A model that turns its noise about and bends it; each class in another way."""
    assert t.eq(T).all()
    # The first class is turned round.
    sign = 1.0 if labels is None else expand(1.0 - 2.0 * (labels.argmax(dim=1) == 0), x_t)
    return sign * torch.tanh(x_t / expand(t, x_t)).flip(1)


def coupled(x, eps, model=crooked, kernel="ve", labels=None, uses=1):
    context = pairing(len(x), averaged=model, kernel=kernel, labels=labels)
    return ModelOT(T, uses=uses).pair(x, eps, context).z


def cost(x, z, labels=None):
    made = crooked(T * z, z.new_full((len(z),), T), labels)
    return float((x.double() - made.double()).square().sum())


@pytest.mark.parametrize("seed", range(4))
def test_no_permutation_is_nearer_to_what_the_model_makes(seed):
    x, eps = batch(seed), batch(seed + 100)
    every = [cost(x, eps[list(order)]) for order in itertools.permutations(range(6))]
    assert cost(x, coupled(x, eps)) == pytest.approx(min(every), rel=1e-6)
    assert cost(x, MinibatchOT().couple(x, eps)) > 1.01 * min(every)


@pytest.mark.parametrize("kernel", KERNELS)
def test_what_the_model_is_asked_is_pure_noise(kernel):
    asked = []

    def model(x_t, t, labels=None):
        asked.append(x_t)
        return x_t

    eps = batch(1)
    coupled(batch(0), eps, model, kernel)
    t = torch.full((6,), T)
    assert torch.equal(asked[0], KERNELS[kernel](torch.zeros_like(eps), eps, t))


def test_a_model_that_answers_in_proportion_gives_the_plan_of_minibatch_transport():
    x, eps = batch(0, 32), batch(1, 32)
    z = coupled(x, eps, lambda x_t, t, labels: 0.01 * x_t)
    assert torch.equal(z, MinibatchOT().couple(x, eps))


def test_each_noise_is_used_once_and_data_stay():
    x, eps = batch(0, 64), batch(1, 64)
    pair = ModelOT(T).pair(x, eps, pairing(64, averaged=crooked))
    assert torch.equal(pair.x, x) and pair.kl.eq(0).all()
    assert sorted(pair.z.flatten(1).tolist()) == sorted(eps.flatten(1).tolist())


def test_with_labels_noise_stays_in_its_class_where_it_costs_least():
    x, eps, which = batch(0, 12), batch(1, 12), torch.arange(12) % 3
    z = coupled(x, eps, labels=torch.eye(3)[which])
    for label in range(3):
        mine = which == label
        # Of the class alone: the model that is asked has its label.
        shown = torch.eye(3)[which[mine]]
        every = [
            cost(x[mine], eps[mine][list(order)], shown)
            for order in itertools.permutations(range(4))
        ]
        assert cost(x[mine], z[mine], shown) == pytest.approx(min(every), rel=1e-6)


def test_noise_that_is_used_again_is_permuted_anew_for_each_part():
    x, eps = batch(0, 18), batch(1, 18)
    z = coupled(x, eps, uses=3)
    for part in range(0, 18, 6):
        some = slice(part, part + 6)
        assert sorted(z[some].flatten(1).tolist()) == sorted(eps[:6].flatten(1).tolist())
        every = [cost(x[some], eps[list(order)]) for order in itertools.permutations(range(6))]
        assert cost(x[some], z[some]) == pytest.approx(min(every), rel=1e-6)


@pytest.mark.parametrize(("count", "uses", "asked"), [(18, 3, 6), (7, 3, 3), (5, 5, 1), (2, 5, 1)])
def test_the_model_is_asked_once_for_each_noise(count, uses, asked):
    seen = []

    def model(x_t, t, labels=None):
        seen.append(x_t / T)
        return x_t

    x, eps = batch(0, count), batch(1, count)
    z = coupled(x, eps, model, uses=uses)
    torch.testing.assert_close(torch.cat(seen), eps[:asked])
    for start in range(0, count, asked):  # the last part may be short
        part = z[start : start + asked]
        assert sorted(part.flatten(1).tolist()) == sorted(eps[: len(part)].flatten(1).tolist())


def test_noise_that_is_used_again_stays_in_its_class():
    x, eps, which = batch(0, 12), batch(1, 12), torch.tensor([0, 0, 0, 1, 1, 2, 1, 1, 2, 1, 1, 1])
    asked = []

    def model(x_t, t, labels):
        asked.append(x_t / T)
        return crooked(x_t, t, labels)

    z = coupled(x, eps, model, labels=torch.eye(3)[which], uses=2)
    torch.testing.assert_close(torch.cat(asked), eps[[0, 1, 3, 4, 5, 6, 7]])
    for label, noises in enumerate([[0, 1], [3, 4, 6, 7], [5]]):
        mine = torch.nonzero(which == label).flatten()
        for part in mine.split(len(noises)):
            used = eps[noises[: len(part)]]
            assert sorted(z[part].flatten(1).tolist()) == sorted(used.flatten(1).tolist())
            shown = torch.eye(3)[which[part]]
            orders = itertools.permutations(range(len(part)))
            least = min(cost(x[part], used[list(order)], shown) for order in orders)
            assert cost(x[part], z[part], shown) == pytest.approx(least, rel=1e-6)


def test_answers_that_are_not_finite_give_no_pair():
    assert coupled(batch(0), batch(1), lambda x_t, t, labels: x_t / 0).isnan().all()


def test_the_sampler_permutes_noise_as_minibatch_transport():
    x, eps = batch(0, 8), batch(1, 8)
    assert torch.equal(ModelOT(T).couple(x, eps), MinibatchOT().couple(x, eps))
