"""The order of samples is a function of (seed, step)."""

import numpy as np
import pytest
import torch
from support import dataset

from vct.lab.data.batches import Batches, Order

CPU = torch.device("cpu")


@pytest.mark.parametrize(("size", "batch"), [(12, 4), (37, 8), (10, 10), (5, 12)])
def test_every_sample_once_in_each_epoch(size, batch):
    order = Order(size, batch, seed=3)
    epochs = 3
    steps = -(-epochs * size // batch)
    stream = torch.cat([order.positions(step) for step in range(steps)])
    assert all(len(order.positions(step)) == batch for step in range(steps))
    seen = [stream[epoch * size : (epoch + 1) * size].tolist() for epoch in range(epochs)]
    assert all(sorted(epoch) == list(range(size)) for epoch in seen)
    assert len({tuple(epoch) for epoch in seen}) == epochs


def test_batch_is_a_function_of_seed_and_step_and_not_of_history():
    walked = Order(37, 8, seed=3)
    every = [walked.positions(step) for step in range(20)]
    for step in (19, 0, 11, 4, 5):
        assert torch.equal(Order(37, 8, seed=3).positions(step), every[step])
        assert torch.equal(walked.positions(step), every[step])
    assert not torch.equal(Order(37, 8, seed=4).positions(0), every[0])


def test_images_and_labels_belong_together():
    data = dataset((1, 4, 4))
    batches = Batches(data, 8, 0, CPU, conditional=True)
    for step in range(6):
        batch = batches.at(step)
        positions = batches.order.positions(step).numpy()
        assert batch.indices.tolist() == positions.tolist()
        expected = data.train.x[positions].astype(np.float64) / 127.5 - 1
        np.testing.assert_allclose(batch.x, expected, atol=1e-6)
        assert batch.x.dtype == batch.labels.dtype == torch.float32
        assert batch.labels.sum(dim=1).tolist() == [1] * 8
        assert batch.labels.argmax(dim=1).tolist() == data.train.labels[positions].tolist()


def test_points_are_not_scaled_and_unconditional_batches_have_no_labels():
    data = dataset((2, 1, 1))
    batch = Batches(data, 8, 0, CPU).at(0)
    positions = Order(37, 8, 0).positions(0).numpy()
    assert np.array_equal(batch.x, data.train.x[positions])
    assert batch.labels is None


def test_flips_mirror_half_of_the_images_left_to_right():
    data = dataset((1, 4, 4), size=1000)
    plain, flipping = Batches(data, 500, 0, CPU), Batches(data, 500, 0, CPU, flip=True)
    mirrored = 0
    for step in range(8):
        before, after = plain.at(step).x, flipping.at(step).x
        same = (after == before).flatten(1).all(dim=1)
        turned = (after == before.flip(3)).flatten(1).all(dim=1)
        assert (same | turned).all()
        mirrored += int(turned.sum())
        assert torch.equal(flipping.at(step).x, after)
    # 4000 fair coins: standard deviation 32.
    assert abs(mirrored - 2000) < 130


def test_a_sample_is_not_always_turned_the_same_way():
    data = dataset((1, 4, 4), size=8)
    batches = Batches(data, 8, 0, CPU, flip=True)
    first = data.train.x[0, 0].astype(np.float32) / 127.5 - 1
    found = {
        bool(np.allclose(image[0], first[:, ::-1], atol=1e-6))
        for step in range(20)
        for image in batches.at(step).x.numpy()
        if np.allclose(np.sort(image.ravel()), np.sort(first.ravel()), atol=1e-6)
    }
    assert found == {True, False}


def test_flips_depend_on_step_and_seed():
    """All images are alike, so that what differs between batches is what was mirrored."""
    data = dataset((1, 4, 4), size=256)
    data.train.x[:] = np.arange(16, dtype=np.uint8).reshape(4, 4)

    def mirrored(seed, step):
        batch = Batches(data, 256, seed, CPU, flip=True).at(step).x
        return batch[:, 0, 0, 0] > batch[:, 0, 0, 3]

    masks = torch.stack([mirrored(*key).float() for key in ((0, 0), (0, 1), (0, 2), (1, 0))])
    # Independent coins: correlations have standard deviation 1/16.
    off = torch.corrcoef(masks)[~torch.eye(4, dtype=torch.bool)]
    assert off.abs().max() < 0.3


@pytest.mark.parametrize("conditional", [False, True])
def test_shares_make_up_the_batch(conditional):
    """However a batch is divided: each image once, mirrored or not, with its label."""
    data, options = dataset((1, 4, 4), size=100), {"flip": True, "conditional": conditional}
    whole = Batches(data, 12, 0, CPU, **options)
    parts = [Batches(data, 12, 0, CPU, **options, share=slice(i, i + 4)) for i in (0, 4, 8)]
    for step in range(3):
        found = [part.at(step) for part in parts]
        assert torch.equal(torch.cat([part.x for part in found]), whole.at(step).x)
        if conditional:
            assert torch.equal(torch.cat([part.labels for part in found]), whole.at(step).labels)
