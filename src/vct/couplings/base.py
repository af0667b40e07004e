"""The interface of a coupling."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from vct.kernels import Kernel
from vct.misfit import Misfit, check
from vct.preconditioning import ConsistencyFunction
from vct.rng import Draw

Couple = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""(x, eps, labels) to z; see `Coupling.couple`."""


def alone(tensor: Tensor) -> None:
    """The sum over devices where there is one: it is there already."""


def undivided(couple: Couple, x: Tensor, eps: Tensor, labels: Tensor | None) -> Tensor:
    """z where the whole batch is here."""
    return couple(x, eps, labels)


Call = Callable[[Tensor, Tensor | None], Tensor]
"""A function of samples, each alone: (eps, labels) to what is made of them."""


@torch.no_grad()
def in_parts(width: int, call: Call, eps: Tensor, labels: Tensor | None) -> Tensor:
    """What is made of samples (N, ...), `width` of them at a time."""
    starts = range(0, len(eps), width)
    shown = [None if labels is None else labels[at : at + width] for at in starts]
    parts = zip(starts, shown, strict=True)
    return torch.cat([call(eps[at : at + width], some) for at, some in parts])


def at_once(call: Call, eps: Tensor, labels: Tensor | None) -> Tensor:
    """What is made of samples where one device has them all."""
    return in_parts(len(eps), call, eps, labels)


def here(tensor: Tensor) -> Tensor:
    """A tensor of the whole batch where there is one device: it is that already."""
    return tensor


@dataclass(frozen=True)
class PairingContext:
    """What a coupling may look at beside the batch.

    Args:
        t: upper noise levels (B,), in (0, T].
        r: lower noise levels (B,), in [0, t).
        kernel: makes x_t.
        averaged: f of the averaged weights, f(x_t, t, labels); for couplings that pair with
            generated points.
        draw: the coupling's own randomness.
        labels: one-hot labels (B, K) of the data where training is conditional, else None.
        whole: calls `couple` with the whole batch where these are some of its samples, and gives
            back theirs.
        indices: places of the data in the training set (B,), int64, where they are known; not for
            couplings of a pool.
        gather: makes of a tensor (B, ...) of these samples that of the whole batch, in its order.
            All devices must call it equally often, so only for couplings without parameters, whose
            pairs are made for all samples of a device at once.
        divided: makes something of samples without gradients; each device does its share. Only for
            samples that all devices hold, as in a function that is given to `whole`, and where all
            devices call it equally often.
    """

    t: Tensor
    r: Tensor
    kernel: Kernel
    averaged: ConsistencyFunction
    draw: Draw
    labels: Tensor | None = None
    whole: Callable[[Couple, Tensor, Tensor, Tensor | None], Tensor] = undivided
    divided: Callable[[Call, Tensor, Tensor | None], Tensor] = at_once
    indices: Tensor | None = None
    gather: Callable[[Tensor], Tensor] = here


@dataclass(frozen=True)
class Pair:
    """A coupled batch.

    Args:
        x: data points (B, C, H, W), in the order of the labels.
        z: their noise, of the same shape.
        kl: divergence of q(z|x) from the coupling's prior, mostly N(0, I), of each sample (B,) in
            nats, summed over dimensions; zero where the coupling learns nothing.
        weight: factor (B,) of each sample's distance, with a mean of 1; None where all count alike.
    """

    x: Tensor
    z: Tensor
    kl: Tensor
    weight: Tensor | None = None

    def __post_init__(self) -> None:
        check("Pair.z", self.z, self.x.shape)
        check("Pair.kl", self.kl, self.x.shape[:1])
        if self.weight is not None:
            check("Pair.weight", self.weight, self.x.shape[:1])

    def part(self, part: slice) -> "Pair":
        """Those of some samples."""
        weight = None if self.weight is None else self.weight[part]
        return Pair(self.x[part], self.z[part], self.kl[part], weight)


@dataclass(frozen=True)
class PreparingContext:
    """What a coupling may use before training.

    Args:
        like: an empty tensor (0, C, H, W), of the shape and type of the data and on their device.
        divided: as in `PairingContext`; all devices must call it equally often.
    """

    like: Tensor
    divided: Callable[[Call, Tensor, Tensor | None], Tensor] = at_once


Scope = Literal["sample", "device", "batch"]


class Coupling(nn.Module, ABC):
    """Turns (x, eps) into the pair (x, z) that training uses.

    A subclass defines `couple`; one whose pairing needs the noise levels or the averaged model,
    or which adds a KL term, overrides `pair` too. Parameters of the module are trained and averaged
    along with the network; its `scope` is then "sample", or it `learns_apart`.

    Args:
        shape: (C, H, W) of the data, for couplings that need it.
        sigma_data: standard deviation of the data.
    """

    scope: Scope = "batch"
    """What z of a sample depends on: the sample alone, all samples that its device holds, or the
    whole batch, whatever the number of devices."""

    pool: int = 1
    """Number of batches, one after the other, whose samples are paired together where the scope is
    "batch": a plan over more pairs, of which each step takes its own. A loop of one's own gives
    `pair` all of them together (examples/06_pools.py); given one batch, it pairs that."""

    plans_ahead: bool = False
    """Whether `couple` depends on x, eps and labels alone, and takes its time: where the scope is
    "batch", a training then pairs its next batches in a thread while it works on this one. It is of
    the class whose `couple` it stands beside, and holds where `pair` is the one of this class."""

    learns_apart: bool = False
    """Whether parameters are no part of what `whole` of a context is given, so that they learn from
    parts of a batch while the pairs are those of all of it."""

    unaveraged: tuple[str, ...] = ()
    """Names of buffers that the averaged model takes over as they are, such as moments of what was
    seen; whole numbers are never averaged."""

    independent: bool = False
    """Whether z is eps, whatever x is."""

    from_data: bool = False
    """Whether sampling starts from z of data, such as images to restore, and not from N(0, I)."""

    keeps_data: bool = True
    """Whether x of a pair is always a data point."""

    kl_weight: float = 0.0
    """Weight of the KL term before the objective's schedule multiplies it (VCT, eq. 14)."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if isinstance(cls.scope, str) and cls.scope not in get_args(Scope):
            raise Misfit(f"{cls.__name__}.scope is '{cls.scope}', not one of {get_args(Scope)}")
        for key in ("pool", "uses"):
            value = getattr(cls, key, 1)
            if isinstance(value, int | float) and (not isinstance(value, int) or value < 1):
                raise Misfit(f"{cls.__name__}.{key} is {value}, not a whole number from 1 on")
        try:
            signature(cls.couple).bind("self", "x", "eps", "labels")
        except TypeError:
            raise Misfit(f"{cls.__name__}.couple must take x, eps and labels=None") from None
        if (cls.prepare is Coupling.prepare) != (cls.accept is Coupling.accept):
            raise Misfit(f"{cls.__name__} must define both prepare and accept, or neither")

    def __init__(self, shape: tuple[int, int, int] | None = None, sigma_data: float = 0.5) -> None:
        super().__init__()
        self.shape, self.sigma_data = shape, sigma_data

    @abstractmethod
    def couple(self, x: Tensor, eps: Tensor, labels: Tensor | None = None) -> Tensor:
        """Noise z for data x (B, C, H, W), from base noise eps ~ N(0, I) of the same shape.

        Also used by the sampler, which re-noises its own samples the way training did.

        Args:
            labels: one-hot labels (B, K) of x where training is conditional, else None.
        """

    def start(self, eps: Tensor, labels: Tensor | None = None) -> Tensor:
        """z (B, C, H, W) that sampling starts from, of base noise eps ~ N(0, I): eps itself, unless
        the noise of all data together has another law, which a subclass knows."""
        return eps

    def begin(self, y: Tensor, eps: Tensor) -> Tensor:
        """z (B, C, H, W) that sampling starts from, of data to restore y and base noise eps, where
        it starts `from_data`; what is known of them may come in another shape."""
        return self.couple(y, eps)

    def pair(self, x: Tensor, eps: Tensor, context: PairingContext) -> Pair:
        """The pair that training uses at the noise levels of `context`."""
        whole = context.whole if self.scope == "batch" else undivided
        return Pair(x, whole(self.couple, x, eps, context.labels), x.new_zeros(len(x)))

    def prepare(self, context: PreparingContext) -> dict[str, Tensor]:
        """What is made once before training, of what the coupling was given, by names without dots;
        nothing here. Its copies share it with it, and no buffer holds it, as it is kept beside
        the weights. A coupling asks for it itself where it was given nothing by `accept`; couplings
        inside of it are asked for themselves (`vct.couplings.preparation`)."""
        return {}

    def accept(self, prepared: Mapping[str, Tensor]) -> None:
        """Pair with what `prepare` of such a coupling gave, in place of making it."""

    def settle(self, add: Callable[[Tensor], None] = alone) -> None:
        """Note what the pairs of a step have shown, once a step and after its loss: for state that
        is not learned by gradients. Buffers of the module are saved, and averaged unless they are
        `unaveraged`.

        Args:
            add: replaces a tensor by its sum over the devices, so that each settles on the same.
        """

    def posterior(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor] | None:
        """Mean and standard deviation of z, each of the shape of x, where z is Gaussian given x and
        its components are independent; None elsewhere. Sampling may then start from their mixture,
        or from a Gaussian that is fitted to it (`vct.priors`)."""
        return None

    def summary(self, x: Tensor, labels: Tensor | None = None) -> dict[str, float]:
        """Numbers to record after training, measured on data x (N, C, H, W) and their labels."""
        return {}
