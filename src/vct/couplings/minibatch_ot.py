"""Minibatch optimal transport coupling (Multisample flow matching, arXiv 2304.14772)."""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from vct.couplings.base import Context, Coupling, Pair
from vct.couplings.gathering import pair_gathered


class MinibatchOT(Coupling):
    """Permutes the noise of a batch so that sum |x_i - T eps_pi(i)|^2 is least.

    With uniform weights an exact plan is a permutation. The squared norms do not depend on it and
    T only scales what is left: a linear assignment that maximises sum <x_i, eps_pi(i)>.

    Args:
        shape: (C, H, W) of the data.
        sigma_data: standard deviation of the data.
        over: "batch" solves it on the global batch, whatever the number of devices; "device" on
            what each device holds.
    """

    def __init__(self, shape: tuple[int, int, int], sigma_data: float, over: str = "batch") -> None:
        super().__init__(shape, sigma_data)
        self.over = over

    def couple(self, x: Tensor, eps: Tensor) -> Tensor:
        return eps[assignment(x, eps)]

    def pair(self, x: Tensor, eps: Tensor, context: Context) -> Pair:
        if self.over == "batch":
            return pair_gathered(self, x, eps)
        return super().pair(x, eps, context)


@torch.no_grad()
def assignment(x: Tensor, eps: Tensor) -> Tensor:
    """pi (B,), int64: noise pi(i) goes to data point i; exact, O(B^3), on the CPU."""
    gain = (x.flatten(1) @ eps.flatten(1).T).double().cpu().numpy()
    _, columns = linear_sum_assignment(gain, maximize=True)
    return torch.as_tensor(columns, device=x.device)
