"""The consistency function f(x_t, t) = c_skip x_t + c_out F(c_in x_t, c_noise).

The boundary scalings make f(x, t_min) = x for any network (VCT, Appendix A); the plain ones, with
t_min = 0 and s_b = s, are EDM's, with which ECM trains.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vct.kernels import Kernel, expand
from vct.misfit import Misfit, check


@dataclass(frozen=True)
class Scalings:
    """c_in, c_skip, c_out at times t, each of the shape of t."""

    c_in: Tensor
    c_skip: Tensor
    c_out: Tensor


def boundary_scalings(kernel: Kernel, t: Tensor, sigma_data: float, t_min: float) -> Scalings:
    """Scalings with f(x, t_min) = x, for t in [t_min, T]."""
    return _scalings(
        kernel.data_scale(t), kernel.boundary_scale(t, t_min), t, t - t_min, sigma_data
    )


def plain_scalings(kernel: Kernel, t: Tensor, sigma_data: float) -> Scalings:
    """EDM's scalings, for t in [0, T]."""
    scale = kernel.data_scale(t)
    return _scalings(scale, scale, t, t, sigma_data)


def _scalings(s: Tensor, s_b: Tensor, t: Tensor, elapsed: Tensor, sigma_data: float) -> Scalings:
    variance = sigma_data**2
    c_in = 1 / torch.sqrt(variance * s**2 + t**2)
    c_skip = variance * s_b / (elapsed**2 + variance * s_b**2)
    return Scalings(c_in, c_skip, elapsed * sigma_data * c_in)


@dataclass(frozen=True)
class ConsistencyFunction:
    """f(x_t, t) for a network F.

    Args:
        network: F(x, c_noise, labels), or F(x, c_noise, labels, r/t) with a second time.
        kernel: the kernel that made x_t.
        sigma_data: standard deviation of the data.
        t_min: where f is the identity; None takes the plain scalings, which have no such point.
    """

    network: nn.Module
    kernel: Kernel
    sigma_data: float
    t_min: float | None

    def __call__(
        self, x_t: Tensor, t: Tensor, labels: Tensor | None = None, r: Tensor | None = None
    ) -> Tensor:
        """Data points (B, ...) from x_t (B, ...), times t (B,), one-hot labels (B, K) or None.

        Of a network of two times, with r (B,) in [0, t]: where the mean velocity from t to r would
        lead to, were it kept up until 0. Without r, which is 0, it is f as of every other network.
        """
        if self.t_min is None:
            scalings = plain_scalings(self.kernel, t, self.sigma_data)
        else:
            scalings = boundary_scalings(self.kernel, t, self.sigma_data, self.t_min)
        if labels is not None and labels.ndim != 2:
            # A network might broadcast numbers of classes.
            raise Misfit(f"labels have shape {tuple(labels.shape)}, not (B, K): they are one-hot")
        c_noise = torch.log(t) / 4
        given = ((expand(scalings.c_in, x_t) * x_t).float(), c_noise.float(), labels)
        raw = self.network(*given) if r is None else self.network(*given, (r / t).float())
        check(f"the answer of {type(self.network).__name__}", raw, x_t.shape)
        raw = raw.to(x_t.dtype)
        return expand(scalings.c_skip, x_t) * x_t + expand(scalings.c_out, x_t) * raw
