"""The one loop that turns images into features, alone or shared by several processes."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vct.lab.errors import UserError
from vct.lab.metrics.extractors.base import Extractor
from vct.lab.processes.group import current_group
from vct.lab.processes.progress import Progress

# Not settings: the last bits of the features may depend on them.
BATCH_SIZE = 64
LARGE_ON_CPU = 2
"""Images at a time of a large network on a CPU; it divides BATCH_SIZE. Blocks of more than 32 MB
come from the system page by page, which takes longer than the computation."""


class Features:
    """Features of images by an extractor on a device; the network is built once, when needed.

    The features of an image depend on no other image but for the last bits, which may depend on
    the batch. So shares of a set that start at multiples of BATCH_SIZE are computed anywhere and
    put together to the same bits. In a group, the main process asks for features; the others
    `serve` it, each with its share, until it calls `release`.

    Args:
        extractor: gives the network.
        device: where it runs.
    """

    def __init__(self, extractor: Extractor, device: torch.device | str = "cpu") -> None:
        self.extractor, self.device = extractor, device
        self._network: nn.Module | None = None
        self._group = current_group()

    def __call__(self, images: NDArray[np.uint8], logits: bool = False) -> Tensor:
        """Rows (N, D), or (N, D + K) with the logits, on the CPU.

        Args:
            images: uint8 (N, C, H, W), N at least 1; grey is repeated for an RGB extractor.
            logits: whether to keep the logits of an extractor that has some.

        Raises:
            UserError: if they are no such images, or the extractor takes others, or answers with
                numbers that are not finite.
        """
        _check(images, self.extractor)
        if self._group.size == 1:
            return _finite(self._compute(images, logits))
        self._group.broadcast(torch.tensor([*images.shape, int(logits)]))
        return _finite(self._share(images, images.shape, logits))

    def serve(self) -> None:
        """Compute shares for the main process until it calls `release`."""
        while True:
            request = torch.zeros(5, dtype=torch.int64)
            self._group.broadcast(request)
            *shape, logits = request.tolist()
            if not shape[0]:
                return
            self._share(None, tuple(shape), bool(logits))

    def release(self) -> None:
        """Let the processes go that `serve` this one."""
        self._group.broadcast(torch.zeros(5, dtype=torch.int64))

    def _share(
        self, images: NDArray[np.uint8] | None, shape: tuple[int, ...], logits: bool
    ) -> Tensor:
        """Compute this process's share; the main process gets all rows."""
        count, size = shape[0], self._group.size
        batches = -(-count // BATCH_SIZE)
        ends = [min(count, batches * rank // size * BATCH_SIZE) for rank in range(1, size + 1)]
        like = torch.zeros((0, *shape[1:]), dtype=torch.uint8)
        mine = self._group.deal(images, ends, like).numpy()
        return torch.from_numpy(self._group.collect(self._compute(mine, logits).numpy()))

    @torch.no_grad()
    def _compute(self, images: NDArray[np.uint8], logits: bool) -> Tensor:
        if self._network is None:
            self._network = self.extractor.build().to(self.device)
        network, extractor = self._network, self.extractor
        columns = extractor.features + (extractor.logits if logits else 0)
        large = torch.device(self.device).type == "cpu" and not extractor.on_cpu
        width = LARGE_ON_CPU if large else BATCH_SIZE
        channels = 3 if extractor.shape is None and images.shape[1] == 1 else 1
        rows: Tensor | None = None
        # On a GPU, convolutions would else be rounded to TF32, by an algorithm of cuDNN's choice.
        exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
        with exact, Progress(len(images), "images to features") as progress:
            # A share without images still tells the type of its rows.
            for start in range(0, max(1, len(images)), width):
                piece = np.ascontiguousarray(images[start : start + width])
                batch = torch.tensor(piece).to(self.device)
                found = network(batch.repeat(1, channels, 1, 1))[:, :columns]
                if rows is None:
                    rows = torch.empty((len(images), columns), dtype=found.dtype)
                rows[start : start + len(batch)] = found.cpu()
                progress.to(start + len(batch))
        assert rows is not None
        return rows


def _finite(rows: Tensor) -> Tensor:
    if not rows.isfinite().all():
        wrong = int((~rows.isfinite()).any(dim=1).sum())
        raise UserError(
            f"the extractor gives features that are not finite for {wrong} of {len(rows)} images; "
            "make its weights again, or score with another one."
        )
    return rows


def check_count(images: NDArray[np.uint8], what: str) -> None:
    """Raise UserError if images are too few to have a covariance."""
    if len(images) < 2:
        raise UserError(
            f"there are {len(images)} {what}; a Fréchet distance needs two or more, and some "
            "hundreds to mean anything."
        )


def _check(images: NDArray[np.uint8], extractor: Extractor) -> None:
    if images.ndim != 4 or images.dtype != np.uint8:
        raise UserError(
            f"the images are {images.dtype} of shape {images.shape}; an extractor takes 8-bit "
            "images (count, channels, height, width)."
        )
    shape = images.shape[1:]
    if extractor.shape is None and shape[0] not in (1, 3):
        raise UserError(
            f"the images have {shape[0]} channels; this extractor takes grey or RGB images."
        )
    if extractor.shape not in (None, shape):
        raise UserError(
            f"the extractor takes images of shape {extractor.shape}, not {shape}; choose the one "
            "that was trained on this data set."
        )
