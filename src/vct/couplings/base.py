"""The interface of a coupling."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vct import rng
from vct.kernels import Kernel


@dataclass(frozen=True)
class Context:
    """What a coupling may look at beside the batch.

    Args:
        t: upper noise levels (B,), in (0, T].
        r: lower noise levels (B,), in [0, t).
        kernel: makes x_t.
        ema_model: f of the averaged weights, f(x_t, t, labels); for couplings that pair with
            generated points.
        key: (seed, step), and where the batch is divided the place of this part, from which a
            coupling derives its own randomness with `vct.rng`.
        labels: one-hot labels (B, K) of the data for `ema_model`, or None.
        start: place of the first of these B samples in the global batch.
        total: size of the global batch; None says B.
    """

    t: Tensor
    r: Tensor
    kernel: Kernel
    ema_model: Any
    key: tuple[int, ...]
    labels: Tensor | None = None
    start: int = 0
    total: int | None = None

    def uniform(self, purpose: str) -> Tensor:
        """Uniform numbers in [0, 1), one a sample (B,), however the batch is divided."""
        count, device = len(self.t), self.t.device
        generator = rng.generator(*self.key[:2], purpose, device=device)
        numbers = torch.rand(self.total or count, generator=generator, device=device)
        return numbers[self.start : self.start + count]


@dataclass(frozen=True)
class Pair:
    """A coupled batch.

    Args:
        x: data points (B, C, H, W), in the order of the labels.
        z: their noise, of the same shape.
        kl: KL(q(z|x) || N(0, I)) of each sample (B,) in nats, summed over dimensions; zero where
            the coupling learns nothing.
    """

    x: Tensor
    z: Tensor
    kl: Tensor


class Coupling(nn.Module):
    """Turns (x, eps) into the pair (x, z) that training uses.

    A subclass overrides `couple`; one whose pairing needs the noise levels or the EMA model, or
    which adds a KL term, overrides `pair`. Parameters of the module are trained and averaged along
    with the network. A class of your own is named in params.yaml by its dotted path and is built
    as `Class(shape=(C, H, W), sigma_data=..., **options)`.

    Where a batch is divided (`runtime.micro_batch`, several devices), a coupling with parameters
    pairs each part on its own; one without pairs all that is on its device, and may pair the whole
    batch with `vct.couplings.gathering`.
    """

    kl_weight: float = 0.0
    """Weight of the KL term before the objective's schedule multiplies it (VCT, eq. 14)."""

    def __init__(self, shape: tuple[int, int, int], sigma_data: float) -> None:
        super().__init__()
        self.shape = shape
        self.sigma_data = sigma_data

    def couple(self, x: Tensor, eps: Tensor) -> Tensor:
        """Noise z for data x (B, C, H, W), from base noise eps ~ N(0, I) of the same shape.

        Also used by the sampler, which re-noises its own samples the way training did.
        """
        raise TypeError(f"{type(self).__name__} must define couple(x, eps)")

    def pair(self, x: Tensor, eps: Tensor, context: Context) -> Pair:
        """The pair that training uses at the noise levels of `context`."""
        return Pair(x, self.couple(x, eps), torch.zeros(len(x), device=x.device))

    def summary(self, x: Tensor) -> dict[str, float]:
        """Numbers to record after training, measured on data x (N, C, H, W)."""
        return {}
