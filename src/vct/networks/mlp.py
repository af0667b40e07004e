"""A perceptron for 2-D data and tiny images."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from vct.networks.dropout import dropped
from vct.networks.spans import span_of


class MLP(nn.Module):
    """Residual perceptron; the noise level shifts every hidden layer.

    Args:
        shape: (C, H, W) of the input.
        outputs: channels of the output, which has the input's height and width.
        width: hidden units.
        depth: hidden layers.
        dropout: probability in [0, 1), on every hidden layer but the first.
        classes: number of classes K; 0 is unconditional.
        two_times: take a second time, r/t; None is r = 0.
    """

    frequencies = 8

    def __init__(
        self,
        shape: tuple[int, int, int],
        outputs: int,
        width: int = 256,
        depth: int = 4,
        dropout: float = 0.0,
        classes: int = 0,
        two_times: bool = False,
    ) -> None:
        super().__init__()
        self.outputs, self.dropout, self.two_times = outputs, dropout, two_times
        condition = 2 * self.frequencies * (1 + two_times) + classes
        self.first = nn.Linear(math.prod(shape), width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.shifts = nn.Linear(condition, depth * width)
        self.last = nn.Linear(width, outputs * shape[1] * shape[2])
        with torch.no_grad():
            self.last.weight.mul_(1e-2)
            self.last.bias.zero_()
            # What is known of a second time begins at nothing, as in the other networks.
            self.shifts.weight[:, 2 * self.frequencies : condition - classes] = 0

    def forward(
        self,
        x: Tensor,
        c_noise: Tensor,
        labels: Tensor | None = None,
        c_span: Tensor | None = None,
    ) -> Tensor:
        """F(x) (B, outputs, H, W) from x (B, C, H, W), c_noise (B,), one-hot labels (B, K), and r/t
        (B,) of `two_times`."""
        octaves = torch.arange(1, self.frequencies + 1, device=x.device)
        span = span_of(c_span, c_noise, self.two_times)
        parts = [] if labels is None else [labels]
        for time in [c_noise] if span is None else [span, c_noise]:
            angles = torch.outer(time, octaves.to(time.dtype))
            parts = [angles.sin(), angles.cos(), *parts]
        shifts = self.shifts(torch.cat(parts, dim=1)).chunk(1 + len(self.hidden), dim=1)
        h = functional.silu(self.first(x.flatten(1)) + shifts[0])
        for layer, shift in zip(self.hidden, shifts[1:], strict=True):
            h = h + self._drop(functional.silu(layer(h) + shift))
        return self.last(h).reshape(len(x), self.outputs, *x.shape[2:])

    def _drop(self, h: Tensor) -> Tensor:
        return dropped(h, self.dropout, self.training)
