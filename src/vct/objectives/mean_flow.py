"""MeanFlow: the mean velocity between two times is learned (arXiv 2505.13447)."""

from typing import Literal

import torch
from torch import Tensor

from vct import tangents
from vct.couplings.base import Pair
from vct.kernels import expand
from vct.objectives.base import Levels
from vct.objectives.flow import Flow
from vct.preconditioning import ConsistencyFunction
from vct.rng import Draw


class MeanFlow(Flow):
    """f(x_t, t, r) learns the mean velocity u = (x_t - f)/t of the flow from t to r.

    With the velocity v = dx_t/dt of a pair, u = v - (t - r) du/dt along the path (eq. 6), so that

        f = x_t - t v + (t - r) (v - u - df/dt),

    whose right-hand side is the target, without gradients. At r = t it is x_t - t v, which is x
    where paths are straight (`Kernel.origin_scale`): flow matching. At r = 0 f is a consistency
    function, which samplers ask for, and the target is f - t df/dt: the loss of continuous-time
    consistency. The derivative is taken in forward mode: a step costs about a pass more than one of
    iCT. The loss is E d / sg(d + c)^p with d = (T/t)^2 |f - target|^2, the error of the velocity in
    time t/T (Section 4.3).

    Args:
        t_max: T.
        t_min: the least time that is drawn.
        times: the law of two times, of which t is the larger; see `Flow`.
        p_mean, p_std: of logit-normal times.
        apart: probability of r < t; else r is t.
        power: p; 0 is the plain loss.
        c: of the weight.
    """

    two_times = True

    def __init__(
        self,
        t_max: float,
        t_min: float = 0.002,
        times: Literal["uniform", "logit-normal"] = "logit-normal",
        p_mean: float = -0.4,
        p_std: float = 1.0,
        apart: float = 0.25,
        power: float = 1.0,
        c: float = 1e-3,
    ) -> None:
        super().__init__(t_max, t_min, times, p_mean, p_std)
        self.apart, self.power, self.c = apart, power, c

    def levels(self, step: int, total: int, batch: int, generator: torch.Generator) -> Levels:
        one, other = (super(MeanFlow, self).levels(step, total, batch, generator).t for _ in "tr")
        t = torch.maximum(one, other)
        apart = torch.rand(batch, generator=generator, device=generator.device) < self.apart
        r = torch.where(apart, torch.minimum(one, other), t)
        return Levels(t, r, self._weight(t), 1.0, 0)

    def weighted(self, distance: Tensor, levels: Levels) -> Tensor:
        error = super().weighted(distance, levels)
        return error / (error.detach() + self.c) ** self.power

    @torch.no_grad()
    def target(
        self,
        f: ConsistencyFunction,
        pair: Pair,
        levels: Levels,
        labels: Tensor | None,
        draw: Draw,
    ) -> Tensor:
        x, z, ones = pair.x.detach(), pair.z.detach(), torch.ones_like(levels.t)
        with draw.dropout("network"):
            there, change = tangents.derivative(
                lambda t: f(f.kernel(x, z, t), t, labels, levels.r), (levels.t,), (ones,)
            )
        x_t, v = tangents.derivative(lambda t: f.kernel(x, z, t), (levels.t,), (ones,))
        u = (x_t - there) / expand(levels.t, x)
        origin = expand(f.kernel.origin_scale(levels.t), x) * x  # x_t - t v
        return origin + expand(levels.t - levels.r, x) * (v - u - change)
