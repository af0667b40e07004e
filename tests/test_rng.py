"""Randomness is a function of (seed, step, purpose) and of nothing else."""

import re
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from vct import rng

CPU = torch.device("cpu")
PARTS = st.lists(st.one_of(st.integers(-3, 30), st.text("ab1", max_size=3)), max_size=4)


def draw(*parts):
    return rng.normal((1000,), *parts, device=CPU)


def test_same_parts_same_draw():
    assert torch.equal(draw(3, 17, "noise"), draw(3, 17, "noise"))


@pytest.mark.parametrize("other", [(4, 17, "noise"), (3, 18, "noise"), (3, 17, "times"), (17, 3)])
def test_other_parts_independent_draw(other):
    correlation = np.corrcoef(draw(3, 17, "noise"), draw(*other))[0, 1]
    assert abs(correlation) < 0.15


def test_rows_do_not_depend_on_how_many_are_asked_for(monkeypatch):
    monkeypatch.setattr(rng, "BLOCK", 4)
    whole = rng.normal_rows((23, 2), 0, 5, "rows", device=CPU)
    numbers = rng.uniform_rows(23, 0, 5, "rows")
    assert len(torch.unique(whole, dim=0)) == 23 and len(numbers.unique()) == 23
    for first, count in ((0, 1), (3, 6), (4, 4), (7, 16), (22, 1)):
        part = rng.normal_rows((count, 2), first, 5, "rows", device=CPU)
        assert torch.equal(part, whole[first : first + count])
        assert torch.equal(rng.uniform_rows(count, first, 5, "rows"), numbers[first:][:count])
    assert not torch.equal(rng.normal_rows((23, 2), 0, 6, "rows", device=CPU), whole)


def test_purposes_do_not_disturb_each_other():
    alone = draw(0, 0, "noise")
    draw(0, 0, "another purpose")
    torch.manual_seed(1)
    torch.rand(5)
    assert torch.equal(draw(0, 0, "noise"), alone)


@given(PARTS, PARTS)
@settings(deadline=None, derandomize=True)
def test_keys_are_valid_seeds_and_differ(first, second):
    assert 0 <= rng.key(*first) < 2**63
    assert (rng.key(*first) == rng.key(*second)) == (
        [(type(part), part) for part in first] == [(type(part), part) for part in second]
    )


def test_words_are_not_glued_and_numbers_are_no_words():
    assert rng.key("ab", "c") != rng.key("a", "bc")
    assert rng.key(1) != rng.key("1")


def test_neighbouring_steps_and_seeds_have_keys_of_their_own():
    keys = {rng.key(seed, step, "noise") for seed in range(20) for step in range(500)}
    assert len(keys) == 20 * 500


def test_key_is_the_same_in_every_process():
    """Python's own hash of a string is not; results of older runs depend on this number."""
    assert rng.key(0, 0, "noise") == 157261879738769550


def test_normal_is_standard_normal():
    values = rng.normal((50, 400), 1, device=CPU).flatten().numpy()
    assert scipy.stats.kstest(values, "norm").pvalue > 1e-3


def test_sobol_normal_is_stratified():
    points = rng.sobol_normal((1024, 2), 7, "sample").double()
    assert torch.equal(points.float(), rng.sobol_normal((1024, 2), 7, "sample"))
    assert not torch.equal(points.float(), rng.sobol_normal((1024, 2), 8, "sample"))
    # Independent points would miss by 1/sqrt(1024) = 0.03 for the mean, 0.04 for the variance.
    assert points.mean(dim=0).abs().max() < 2e-3
    assert (points.var(dim=0) - 1).abs().max() < 1e-2
    assert abs(np.corrcoef(points.T)[0, 1]) < 1e-2
    # Each quarter of the probability holds a quarter of the points.
    quarters = torch.tensor(scipy.stats.norm.ppf([0.25, 0.5, 0.75]))
    counts = torch.bincount(torch.bucketize(points[:, 0].contiguous(), quarters))
    assert counts.tolist() == [256] * 4


@pytest.mark.parametrize("shape", [(1, 2), (3, 1), (100, 2, 1, 1), (7, 1, 4, 4)])
def test_sobol_normal_of_any_shape_is_finite(shape):
    points = rng.sobol_normal(shape, 0)
    assert points.shape == shape
    assert points.dtype == torch.float32
    assert torch.isfinite(points).all()


def mask(*parts):
    with rng.dropout(*parts):
        return functional.dropout(torch.ones(200), 0.5)


def test_dropout_masks_depend_on_the_key_alone():
    first = mask(0, 5, "network")
    torch.rand(13)
    assert torch.equal(mask(0, 5, "network"), first)
    for other in [(1, 5, "network"), (0, 6, "network"), (0, 5, "encoder")]:
        assert not torch.equal(mask(*other), first)


def test_dropout_masks_of_one_context_differ():
    with rng.dropout(0, 0, "network"):
        assert not torch.equal(*(functional.dropout(torch.ones(200), 0.5) for _ in range(2)))


def test_default_generators_go_on_where_they_were():
    torch.manual_seed(1)
    wanted = torch.rand(2)
    torch.manual_seed(1)
    with pytest.raises(ZeroDivisionError), rng.defaults(0, "some"):
        one = torch.rand(2)
        with rng.defaults(0, "others"):
            torch.rand(2)
        one = torch.cat([one, torch.rand(2)])
        1 / 0  # noqa: B018
    assert torch.equal(torch.rand(2), wanted)
    with rng.defaults(0, "some"):
        assert torch.equal(torch.rand(2), one[:2]) and torch.equal(torch.rand(2), one[2:])


def test_masks_are_the_same_on_every_gpu(monkeypatch):
    """The current GPU need not be the one that a model is on."""
    gpus = [torch.Generator().manual_seed(index) for index in range(2)]
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "default_generators", gpus)
    before = [gpu.get_state() for gpu in gpus]
    masks = []
    for _ in "student", "teacher":
        with rng.dropout(0, 0, "network"):
            masks.append([torch.rand(9, generator=gpu) for gpu in gpus])
    assert torch.equal(masks[0][1], masks[1][1]) and torch.equal(masks[0][0], masks[1][0])
    assert all(torch.equal(gpu.get_state(), state) for gpu, state in zip(gpus, before, strict=True))


@pytest.mark.parametrize("purpose", sorted(rng.LOOP))
def test_what_a_coupling_calls_like_the_loops_numbers_is_another(purpose):
    own = rng.Draw(3, 17).normal(purpose, torch.zeros(1000, 1))
    correlation = np.corrcoef(own[:, 0], draw(3, 17, purpose))[0, 1]
    assert abs(correlation) < 0.15
    uniform = rng.Draw(3, 17).uniform(purpose, own)
    loop = torch.rand(1000, generator=rng.generator(3, 17, purpose))
    assert abs(np.corrcoef(uniform, loop)[0, 1]) < 0.15


def test_the_names_of_the_loops_numbers_are_known():
    """Those that the training draws for a step, by the source."""
    folder = Path(rng.__file__).parent / "lab"
    calls = r'rng\.\w+\([^()]*\b(?:step|epoch|first), "(\w+)"'
    found = {word for path in folder.rglob("*.py") for word in re.findall(calls, path.read_text())}
    assert found == rng.LOOP
