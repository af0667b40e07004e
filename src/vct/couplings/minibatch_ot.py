"""Minibatch optimal transport coupling (Multisample flow matching, arXiv 2304.14772)."""

from typing import Literal

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from vct.couplings.base import Coupling
from vct.misfit import one_of


class MinibatchOT(Coupling):
    """Permutes the noise of a batch so that sum |x_i - T eps_pi(i)|^2 is least.

    With uniform weights an exact plan is a permutation. The squared norms do not depend on it and
    T only scales what is left: a linear assignment that maximises sum <x_i, eps_pi(i)>.

    Args:
        over: "batch" solves it on the whole batch, whatever the number of devices; "device" on what
            each device holds.
        pool: number of batches that are solved together. Data and noise of each stay as they are,
            and the noise is permuted among all of them; it costs O(pool^2) more per step.
    """

    plans_ahead = True

    def __init__(self, over: Literal["batch", "device"] = "batch", pool: int = 1) -> None:
        super().__init__()
        one_of("MinibatchOT.over", over, ("batch", "device"))
        self.scope, self.pool = over, pool

    def couple(self, x: Tensor, eps: Tensor, labels: Tensor | None = None) -> Tensor:
        """The permuted eps; NaN if some <x_i, eps_j> is not finite, as in a model that diverged:
        there is no best permutation then."""
        plan = assignment(x, eps)
        return torch.full_like(eps, torch.nan) if plan is None else eps[plan]


@torch.no_grad()
def assignment(x: Tensor, eps: Tensor) -> Tensor | None:
    """pi (B,), int64: noise pi(i) goes to data point i; exact, O(B^3), on the CPU.

    None if some <x_i, eps_j> is not finite.
    """
    return best_permutation((x.flatten(1) @ eps.flatten(1).T).double())


def places_by_class(x: Tensor, labels: Tensor | None) -> list[Tensor]:
    """The places of each class of the one-hot labels (B, K); all of x where there are none."""
    if labels is None:
        return [torch.arange(len(x), device=x.device)]
    which = labels.argmax(dim=1)
    return [torch.nonzero(which == label).flatten() for label in which.unique()]


def by_class(coupling: Coupling, x: Tensor, eps: Tensor, labels: Tensor | None) -> Tensor:
    """z (B, ...) that `coupling` gives of x and eps when it is asked for each class apart."""
    z = torch.empty_like(eps)
    for mine in places_by_class(x, labels):
        z[mine] = coupling.couple(x[mine], eps[mine])
    return z


def best_permutation(gain: Tensor) -> Tensor | None:
    """pi (B,), int64, with the largest sum of gain_{i, pi(i)}; None if some gain (B, B) is not
    finite."""
    table = gain.cpu().numpy()
    if not np.isfinite(table).all():
        return None
    _, columns = linear_sum_assignment(table, maximize=True)
    return torch.as_tensor(columns, device=gain.device)
