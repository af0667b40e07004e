"""Pairs of a trained flow (rectified flow, arXiv 2209.03003)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vct import rng
from vct.couplings.base import Call, Coupling, Pair, PairingContext, PreparingContext
from vct.misfit import Misfit, check


class Reflow(Coupling):
    """Noise and what a trained flow makes of it: pairs whose paths do not cross.

    A fixed number of noises are turned into samples by the flow's own sampler, by `prepare` or
    before the first pair; each data point of a batch is then replaced by one of these samples,
    drawn at random, with the noise that it was made of; with labels, by one of its class. So data
    are the flow's, and noise a fixed sample of N(0, I). The sampler noises anew with independent
    noise: what the flow would have started from is not known.

    Args:
        flow: makes samples (B, C, H, W) of noise and one-hot labels (B, K); it may be given later,
            by `learn_from`.
        classes: number of classes K of a conditional training, else 0.
        pairs: how many are made, as many of each class.
        noise_seed: of their noise.
    """

    keeps_data = False
    scope = "sample"

    def __init__(
        self, flow: Call | None = None, classes: int = 0, pairs: int = 50_000, noise_seed: int = 0
    ) -> None:
        super().__init__()
        self.classes = classes
        self._made = _Made(flow, pairs, noise_seed)

    def learn_from(self, flow: Call) -> None:
        """Have the pairs of this coupling, and of its copies, made by `flow`."""
        self._made.flow = flow

    def couple(self, x: Tensor, eps: Tensor, labels: Tensor | None = None) -> Tensor:
        return eps

    def prepare(self, context: PreparingContext) -> dict[str, Tensor]:
        """`samples` of the flow and the `noise` that they are made of (N, C, H, W)."""
        samples, noise = self._made.of(context.like, self.classes, context.divided)
        return {"samples": samples, "noise": noise}

    def accept(self, prepared: Mapping[str, Tensor]) -> None:
        self._made.accept(prepared["samples"], prepared["noise"], self.classes)

    @torch.no_grad()
    def pair(self, x: Tensor, eps: Tensor, context: PairingContext) -> Pair:
        made, noise = self._made.of(x, self.classes, context.divided)
        # Those of class k are k, k + K, k + 2 K, ...
        kinds = max(self.classes, 1)
        kind = 0 if context.labels is None else context.labels.argmax(dim=1)
        level = context.draw.uniform("reflow", x).double()
        each = len(made) // kinds
        index = (level * each).long().clamp(max=each - 1) * kinds + kind
        return Pair(made[index].to(x.dtype), noise[index].to(x.dtype), x.new_zeros(len(x)))


@dataclass
class _Made:
    """Samples of the flow and their noise, made when they are first asked for.

    Copies of a coupling share them, and checkpoints leave them out: they are made again.
    """

    flow: Call | None
    count: int
    seed: int
    found: tuple[Tensor, Tensor] | None = field(default=None, repr=False)

    def __deepcopy__(self, memo: object) -> "_Made":
        return self

    def accept(self, made: Tensor, noise: Tensor, classes: int) -> None:
        """Take samples and noise (N, C, H, W), in place of asking the flow."""
        count = self._count(classes)
        check("Reflow.samples", made, (count, *made.shape[1:]))
        check("Reflow.noise", noise, made.shape)
        self.found, self.flow = (made, noise), None

    def of(
        self,
        like: Tensor,
        classes: int,
        divided: Callable[[Call, Tensor, Tensor | None], Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Samples and noise (N, C, H, W); N a multiple of the number of classes."""
        if self.found is None:
            self._make(like, classes, divided)
        assert self.found is not None
        if self.found[0].device != like.device:
            made, noise = self.found
            self.found = made.to(like.device), noise.to(like.device)
        return self.found

    @torch.no_grad()
    def _make(
        self,
        like: Tensor,
        classes: int,
        divided: Callable[[Call, Tensor, Tensor | None], Tensor],
    ) -> None:
        if self.flow is None:
            raise Misfit("Reflow needs a flow, which makes its pairs")
        count = self._count(classes)
        shape = (count, *like.shape[1:])
        noise = rng.normal(shape, self.seed, "reflow", device=like.device)
        labels = None
        if classes:
            which = torch.arange(count, device=like.device) % classes
            labels = torch.nn.functional.one_hot(which, classes).to(like.dtype)
        made = divided(self.flow, noise, labels)
        check("Reflow.flow", made, shape)
        self.found, self.flow = (made.to(like.dtype), noise), None

    def _count(self, classes: int) -> int:
        kinds = max(classes, 1)
        return -(-self.count // kinds) * kinds
