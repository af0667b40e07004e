"""How far a consistency model is from the exact consistency function."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vct.kernels import Kernel

Function = Callable[[Tensor, Tensor], Tensor]
"""f(x_t, t) for x_t (B, ...) and t (B,), of the shape of x_t; all t of a call are equal."""


@dataclass(frozen=True)
class ConsistencyErrors:
    """Mean squared distances per dimension, one for each time.

    Args:
        model: E |f(x_t, t) - f*(x_t, t)|^2 / D. Zero for a perfect model whatever the coupling: all
            of it is due to training, to the network, or to a target that is not the flow's own.
        paths: E |f*(x_t, t) - x|^2 / D. No training changes it: a point where paths cross belongs
            to several data points, of which f* answers at most one. Zero where no paths cross. A
            distance of f to the x that it was trained with holds this part too.
    """

    model: Tensor
    paths: Tensor


@torch.no_grad()
def consistency_errors(
    f: Function,
    exact: Function,
    kernel: Kernel,
    x: Tensor,
    z: Tensor,
    times: Sequence[float],
    block: int = 512,
) -> ConsistencyErrors:
    """Errors (len(times),) of f against f* on the paths of pairs.

    f* belongs to the data that it was made with. That of a finite training set ends in training
    points, where a model that generalises should not; of a known distribution it does not.

    Args:
        f: the model.
        exact: f*, such as `ExactConsistency`.
        kernel: makes x_t.
        x, z: pairs (B, ...) of the coupling that f was trained with.
        times: in [t_min, T].
        block: pairs at once.
    """
    rows = []
    for time in times:
        total = torch.zeros(2, dtype=torch.float64)
        for data, noise in zip(x.double().split(block), z.double().split(block), strict=True):
            t = data.new_full((len(data),), time)
            x_t = kernel(data, noise, t)
            right = exact(x_t, t)
            for at, difference in enumerate((f(x_t, t) - right, right - data)):
                total[at] += difference.square().sum().cpu()
        rows.append(total / x.numel())
    model, paths = torch.stack(rows, dim=1)
    return ConsistencyErrors(model, paths)
