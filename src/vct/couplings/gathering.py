"""Pairing the global batch where it is divided over devices."""

from torch import Tensor

from vct.couplings.base import Coupling, Pair
from vct.lab.processes.group import current_group


def pair_gathered(coupling: Coupling, x: Tensor, eps: Tensor) -> Pair:
    """Pairs of this process's samples (B, C, H, W) by `coupling.couple` of all devices' samples.

    Every process couples the same whole batch, so that they need not tell each other the result.
    """
    group = current_group()
    z = coupling.couple(group.gather(x), group.gather(eps))
    own = group.share(len(z))
    return Pair(x, z[own], x.new_zeros(len(x)))
