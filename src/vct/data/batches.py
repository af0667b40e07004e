"""Training batches as a function of (seed, step)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vct import rng
from vct.data.dataset import Dataset


@dataclass(frozen=True)
class Batch:
    """x (B, C, H, W) float32 and one-hot labels (B, K), or None when unconditional."""

    x: Tensor
    labels: Tensor | None


class Order:
    """Positions of each batch: every epoch is a new permutation; batches run across epochs.

    Args:
        size: number of samples.
        batch_size: samples of a batch.
        seed: of the training.
    """

    def __init__(self, size: int, batch_size: int, seed: int) -> None:
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self._epoch, self._permutation = -1, torch.empty(0, dtype=torch.int64)

    def positions(self, step: int) -> Tensor:
        """Positions (B,) int64 of the samples of batch `step`."""
        start, parts = step * self.batch_size, []
        stop = start + self.batch_size
        while start < stop:
            epoch, offset = divmod(start, self.size)
            part = self._of(epoch)[offset : offset + stop - start]
            parts.append(part)
            start += len(part)
        return torch.cat(parts)

    def _of(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            generator = rng.generator(self.seed, epoch, "order")
            self._permutation = torch.randperm(self.size, generator=generator)
            self._epoch = epoch
        return self._permutation


class Batches:
    """Batches of the training set of `dataset` on `device`.

    Args:
        flip: mirror each image left to right with probability one half.
        conditional: return labels.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        seed: int,
        device: torch.device,
        flip: bool = False,
        conditional: bool = False,
    ) -> None:
        self.dataset, self.device, self.seed = dataset, device, seed
        self.flip, self.conditional = flip, conditional
        self.order = Order(len(dataset.train.x), batch_size, seed)

    def at(self, step: int) -> Batch:
        """The batch of training step `step`."""
        positions = self.order.positions(step).numpy()
        x = to_float(self.dataset, self.dataset.train.x[positions]).to(self.device)
        if self.flip:
            coin = torch.rand(len(x), generator=rng.generator(self.seed, step, "flip"))
            x = torch.where((coin < 0.5).to(self.device)[:, None, None, None], x.flip(3), x)
        labels = None
        if self.conditional:
            labels = one_hot(self.dataset, self.dataset.train.labels[positions]).to(self.device)
        return Batch(x, labels)


def to_float(dataset: Dataset, x: np.ndarray) -> Tensor:
    """Images to [-1, 1]; points as they are."""
    tensor = torch.from_numpy(np.array(x)).float()
    return tensor if dataset.is_points else tensor / 127.5 - 1


def one_hot(dataset: Dataset, labels: np.ndarray) -> Tensor:
    """(N,) int64 to (N, K) float32."""
    return functional.one_hot(torch.from_numpy(labels.copy()), dataset.meta["classes"]).float()
