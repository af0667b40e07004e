"""Features made by several processes: each image once, the bits of one process, nobody waits."""

import warnings
from collections import Counter
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
from gloo import together
from torch import nn

from vct.lab.metrics.extractors.base import Extractor
from vct.lab.metrics.features import BATCH_SIZE, Features
from vct.lab.processes.group import current_group

COUNTS = (1, BATCH_SIZE, BATCH_SIZE + 1, 300)
SEEN: list[int] = []


class Network(nn.Module):
    """An image's number, and products whose last bits may depend on the batch."""

    def __init__(self):
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(12, 12, generator=draw))

    def forward(self, images):
        assert images.dtype == torch.uint8
        number = images[:, 0, 0, 0].long() + 256 * images[:, 0, 0, 1].long()
        SEEN.extend(number.tolist())
        return torch.cat([number[:, None].float(), images.flatten(1).float() @ self.weight], dim=1)


EXTRACTOR = Extractor(9, (3, 2, 2), Network, logits=4)


def numbered(count):
    """Images that hold their number."""
    images = np.random.default_rng(3).integers(0, 256, (count, 3, 2, 2), dtype=np.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = np.arange(count) % 256, np.arange(count) // 256
    images.flags.writeable = False  # as a mapped file
    return images


def made(logits):
    """In a process of a group: what the main one got, and which images this one saw."""
    warnings.simplefilter("error")
    SEEN.clear()
    features, found = Features(EXTRACTOR), []
    if current_group().main:
        found = [features(numbered(count), logits) for count in COUNTS]
        features.release()
    else:
        features.serve()
    return [found, list(SEEN)]


def alone(logits):
    features = Features(EXTRACTOR)
    return [features(numbered(count), logits) for count in COUNTS]


@pytest.mark.parametrize(("size", "logits"), [(2, False), (3, True)])
def test_a_group_makes_the_features_of_one_process(size, logits, tmp_path):
    """To the bit; no image is seen twice or left out, and none by one process alone."""
    results = together(tmp_path / "group", size, made, logits)
    expected = alone(logits)
    assert [rows.shape[1] for rows in expected] == [13 if logits else 9] * len(COUNTS)
    assert all(isinstance(result, list) for result in results), results
    assert all(torch.equal(*pair) for pair in zip(results[0][0], expected, strict=True))
    seen = [seen for _, seen in results]
    assert Counter(chain.from_iterable(seen)) == Counter(
        n for count in COUNTS for n in range(count)
    )
    assert all(len(part) >= BATCH_SIZE for part in seen)


class Failing(Network):
    """Breaks at its second batch in the process of a rank."""

    broken = 0

    def forward(self, images):
        if self.broken == current_group().rank and SEEN:
            raise RuntimeError("broken network")
        return super().forward(images)


def broken_at(rank):
    """In a process of a group: images for features, of which one process fails in the middle."""
    SEEN.clear()
    Failing.broken = rank
    features = Features(replace(EXTRACTOR, build=Failing))
    if current_group().main:
        features(numbered(300))
        features.release()
    else:
        features.serve()


@pytest.mark.parametrize("rank", [0, 1])
def test_nobody_waits_for_one_that_failed(rank, tmp_path):
    results = together(tmp_path / "group", 2, broken_at, rank)
    assert "RuntimeError: broken network" in results[rank]
    assert "PeerLost: another process of this run ended" in results[1 - rank]


def test_one_process_needs_no_others():
    features = Features(EXTRACTOR)
    assert features(numbered(5)).shape == (5, 9)
    assert torch.equal(features(numbered(5))[:, 0], torch.arange(5.0))
