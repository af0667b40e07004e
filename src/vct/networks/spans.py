"""The second time of a network: how far a mean velocity reaches (arXiv 2505.13447)."""

import torch
from torch import Tensor, nn

from vct.misfit import Misfit

SPANS = frozenset({"map_span.weight", "emb_span.weight", "span_gain"})
"""Names of a network's tensors that are only of its second time, and add nothing at first."""


class SpanMap(nn.Linear):
    """Adds to an embedding (B, channels) what is known of r/t; nothing before it is trained."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, bias=False)
        nn.init.zeros_(self.weight)


def span_of(c_span: Tensor | None, c_noise: Tensor, two_times: bool) -> Tensor | None:
    """r/t (B,) in [0, 1] of a network of two times, 0 where none is given; None of others.

    Raises:
        Misfit: if a network of one time is given another.
    """
    if two_times:
        return torch.zeros_like(c_noise) if c_span is None else c_span
    if c_span is not None:
        raise Misfit("this network takes one time; make it with two_times=True")
    return None
