"""The time of a call that answers at one time alone."""

import torch
from torch import Tensor

from vct.misfit import Misfit


def one_time(t: float | Tensor) -> Tensor:
    """The one time, (), double, that a number or (B,) equal numbers give; a Misfit if they differ.

    So an oracle may stand wherever f(x_t, t) with t (B,) is asked for.
    """
    times = torch.as_tensor(t, dtype=torch.float64).flatten()
    if not bool((times == times[0]).all()):
        raise Misfit("t holds several times: ask an oracle for one time a call")
    return times[0]
