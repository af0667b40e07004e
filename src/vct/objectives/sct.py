"""sCT: consistency training in continuous time (arXiv 2410.11081), the limit of iCT."""

import torch
from torch import Tensor

from vct import tangents
from vct.couplings.base import Pair
from vct.kernels import expand
from vct.objectives.base import Levels, Objective
from vct.preconditioning import ConsistencyFunction
from vct.rng import Draw


class SCT(Objective):
    """f does not change along a path: its derivative is pushed to zero, at one level of noise.

    In the angle a of TrigFlow, with cos a = sd s c_in and sin a = t c_in, all kernels and EDM's
    scalings are one: x_a = sd c_in x_t = cos(a) x + sd sin(a) z, and f = cos(a) x_a + sd sin(a) F.
    The loss is that paper's Algorithm 1, without its learned weight of the levels: the mean over
    elements of |F - sg(F) + g / (rms(g) + c)|^2, where

        g = cos^2(a) (sd F + dx_a/da) - r cos(a) sin(a) (x_a - sd dF/da)

    is cos(a) df/da for r = 1, and r rises from 0 to 1 over the first `warm_up` steps. dF/da along
    the pair's path is a forward-mode derivative: a step costs about a pass more than one of iCT.

    Args:
        sigma_data: standard deviation of the data.
        t_max: T.
        p_mean, p_std: mean and standard deviation of ln t, or with `clip` of ln t/(1 - t/T): the
            ratio t/s(t) of the linear kernel, so that the angles are those of the paper.
        warm_up: steps; 0 begins with r = 1.
        c: added to the root mean square of g, by which it is divided.
        clip: whether times stay below T, as the linear kernel needs them. At T itself g is 0, and
            would teach nothing.
    """

    train_t_min = None

    def __init__(
        self,
        sigma_data: float = 0.5,
        t_max: float = 80.0,
        p_mean: float = -1.0,
        p_std: float = 1.4,
        warm_up: int = 10_000,
        c: float = 0.1,
        clip: bool = False,
    ) -> None:
        self.sigma_data, self.t_max, self.clip = sigma_data, t_max, clip
        self.p_mean, self.p_std, self.warm_up, self.c = p_mean, p_std, warm_up, c

    def levels(self, step: int, total: int, batch: int, generator: torch.Generator) -> Levels:
        n = torch.randn(batch, generator=generator, device=generator.device)
        t = torch.exp(self.p_std * n + self.p_mean)
        if self.clip:
            t = t / (1 + t / self.t_max)
        return Levels(t, torch.zeros_like(t), torch.ones_like(t), 1.0, 0)

    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Mean over elements of the squared difference."""
        return (student - teacher).square().flatten(1).mean(dim=1)

    def compared(
        self,
        f: ConsistencyFunction,
        pair: Pair,
        levels: Levels,
        labels: Tensor | None,
        draw: Draw,
    ) -> Tensor:
        t, student = levels.t, self.student(f, pair, levels, labels, draw)
        ready = min(1.0, draw.step / self.warm_up) if self.warm_up else 1.0
        with draw.dropout("network"):
            g = self.tangent(f, pair, t, labels, ready)
        rms = g.square().flatten(1).mean(dim=1).sqrt()
        # f - sg(f) over c_out: F - sg(F), and for an encoder what its noise does to x_t too.
        c_out = expand(self._parts(f, t)[1] * self.sigma_data, g)
        return self.distance((student - student.detach()) / c_out, -g / expand(rms + self.c, g))

    @torch.no_grad()
    def tangent(
        self,
        f: ConsistencyFunction,
        pair: Pair,
        t: Tensor,
        labels: Tensor | None = None,
        ready: float = 1.0,
    ) -> Tensor:
        """g (B, C, H, W) at times t (B,) of the paths of `pair`; `ready` is r."""
        sd, x, z = self.sigma_data, pair.x.detach().float(), pair.z.detach().float()
        cos, sin = (expand(part, x) for part in self._parts(f, t))
        x_a, moving = cos * x + sd * sin * z, sd * cos * z - sin * x
        # c_noise = ln(t)/4, and d ln(t)/da = s / (cos sin (s - t s')).
        quarter = f.kernel.data_scale(t) / (4 * f.kernel.origin_scale(t))
        raw, change = tangents.derivative(
            lambda scaled, c_noise: f.network(scaled, c_noise, labels),
            (x_a / sd, torch.log(t) / 4),
            (cos * sin * moving / sd, quarter),
        )
        return cos**2 * (sd * raw + moving) - ready * (cos * sin * x_a - sd * change)

    def _parts(self, f: ConsistencyFunction, t: Tensor) -> tuple[Tensor, Tensor]:
        """cos(a) and sin(a) (B,)."""
        near, far = self.sigma_data * f.kernel.data_scale(t), t
        norm = torch.sqrt(near**2 + far**2)
        return near / norm, far / norm
