"""Training batches as a function of (seed, step)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vct import rng
from vct.lab.data.dataset import Dataset
from vct.lab.data.prefetch import Prefetch


@dataclass(frozen=True)
class Batch:
    """x (B, C, H, W) float32, one-hot labels (B, K) or None when unconditional, and places in the
    training set (B,)."""

    x: Tensor
    labels: Tensor | None
    indices: Tensor

    def part(self, part: slice) -> "Batch":
        """Some of the samples."""
        labels = None if self.labels is None else self.labels[part]
        return Batch(self.x[part], labels, self.indices[part])


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


@dataclass(frozen=True)
class _Loaded:
    """A batch in host memory: values as they are stored, which to mirror, class indices, places."""

    x: Tensor
    mirrored: Tensor | None
    labels: Tensor | None
    indices: Tensor


class Batches:
    """Batches of the training set of `dataset` on `device`.

    Args:
        flip: mirror each image left to right with probability one half.
        conditional: return labels.
        share: which samples of each batch to return; all by default.
        ahead: so many batches are read in a thread before they are asked for.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        seed: int,
        device: torch.device,
        flip: bool = False,
        conditional: bool = False,
        share: slice | None = None,
        ahead: int = 0,
    ) -> None:
        self.dataset, self.device, self.seed = dataset, device, seed
        self.flip, self.conditional = flip, conditional
        self.batch_size, self.share = batch_size, share or slice(None)
        self.order = Order(len(dataset.train.x), batch_size, seed)
        self._loaded = Prefetch(self._load, ahead)

    def at(self, step: int) -> Batch:
        """The batch of training step `step`, or this share of it."""
        loaded = self._loaded.at(step)
        x = to_float(self.dataset, self._on_device(loaded.x))
        if loaded.mirrored is not None:
            mirrored = self._on_device(loaded.mirrored)
            x = torch.where(mirrored[:, None, None, None], x.flip(3), x)
        labels = None
        if loaded.labels is not None:
            labels = one_hot(self.dataset, self._on_device(loaded.labels))
        return Batch(x, labels, self._on_device(loaded.indices))

    def close(self) -> None:
        """Read nothing more ahead."""
        self._loaded.close()

    def _load(self, step: int) -> _Loaded:
        indices = self.order.positions(step)[self.share]
        positions = indices.numpy()
        x = torch.from_numpy(np.array(self.dataset.train.x[positions]))
        mirrored = labels = None
        if self.flip:
            generator = rng.generator(self.seed, step, "flip")
            coin = torch.rand(self.batch_size, generator=generator)
            mirrored = self._pinned((coin < 0.5)[self.share])
        if self.conditional:
            labels = self._pinned(torch.from_numpy(self.dataset.train.labels[positions].copy()))
        return _Loaded(self._pinned(x), mirrored, labels, self._pinned(indices))

    def _pinned(self, tensor: Tensor) -> Tensor:
        """In memory from which a GPU copies while the host goes on."""
        return tensor.pin_memory() if self.device.type == "cuda" else tensor

    def _on_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, non_blocking=True)


def in_order(
    dataset: Dataset, batch_size: int, device: torch.device, conditional: bool = False
) -> Iterator[Batch]:
    """The training set once, in its order."""
    for start in range(0, len(dataset.train.x), batch_size):
        yield chosen(dataset, slice(start, start + batch_size), device, conditional)


def chosen(
    dataset: Dataset,
    places: slice | NDArray[np.int64],
    device: torch.device,
    conditional: bool = False,
) -> Batch:
    """Some of the training set."""
    x = to_float(dataset, torch.from_numpy(np.array(dataset.train.x[places])).to(device))
    indices = torch.from_numpy(np.arange(len(dataset.train.x))[places]).to(device)
    if not conditional:
        return Batch(x, None, indices)
    labels = torch.from_numpy(np.array(dataset.train.labels[places])).to(device)
    return Batch(x, one_hot(dataset, labels), indices)


def everything(
    dataset: Dataset, conditional: bool = False, mirrored: bool = False
) -> tuple[Tensor, Tensor | None]:
    """All training data x (N, C, H, W) and, if `conditional`, their classes (N,); on the CPU.

    Args:
        mirrored: each image also mirrored left to right, after all the others.
    """
    x = to_float(dataset, torch.from_numpy(np.array(dataset.train.x)))
    labels = torch.from_numpy(np.array(dataset.train.labels)) if conditional else None
    if mirrored:
        x = torch.cat([x, x.flip(3)])
        labels = None if labels is None else labels.repeat(2)
    return x, labels


def to_float(dataset: Dataset, x: Tensor) -> Tensor:
    """Images to [-1, 1]; points as they are."""
    return x.float() if dataset.is_points else x.float() / 127.5 - 1


def one_hot(dataset: Dataset, labels: Tensor) -> Tensor:
    """(N,) int64 to (N, K) float32, without a look at values, as torch's own takes on a CPU."""
    return (labels[:, None] == torch.arange(dataset.meta.classes, device=labels.device)).float()
