"""Singular values of the Jacobian of f(., t), and the dimension of the data that they show.

Noise that leaves the data's manifold is removed, noise within it is not: at small t the
directions of the manifold have large singular values, and all others small ones (arXiv 2410.05898,
which looks at the score; with VE and independent noise D = x + t^2 score).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from vct.diagnostics.linearisation import Function, Linearisation
from vct.kernels import Kernel

EXACT = 1024
"""Up to so many dimensions the whole Jacobian is computed."""
_SPARE = 8  # directions more, so that the last ones that are kept are right


def singular_values(f: Function, x: Tensor, t: float) -> Tensor:
    """All singular values of df/dx at points x (B, ...), falling: (B, D), double."""
    rows = [torch.linalg.svdvals(Linearisation(f, point, t).matrix().double()) for point in x]
    return torch.stack(rows)


def leading_singular_values(
    f: Function,
    x: Tensor,
    t: float,
    count: int,
    generator: torch.Generator,
    iterations: int = 4,
) -> Tensor:
    """The `count` largest singular values of df/dx at points x (B, ...), falling, double.

    Those of J on a subspace, so never too large: randomised subspace iteration on J^T J (Halko,
    Martinsson and Tropp 2011, algorithm 4.4), from directions of `generator`, a CPU's.

    Args:
        count: K; the answer is (B, min(K, D)).
        iterations: more where the singular values fall slowly.
    """
    size = x[0].numel()
    width = min(count + _SPARE, size)
    rows = []
    for point in x:
        jacobian = Linearisation(f, point, t)
        basis = torch.randn(width, size, generator=generator, dtype=torch.float64).to(point)
        for _ in range(iterations):
            basis = _orthonormal(jacobian.vjp(_orthonormal(jacobian.jvp(basis))))
        rows.append(torch.linalg.svdvals(jacobian.jvp(basis).double())[:count])
    return torch.stack(rows)


def mean_spectra(
    f: Function,
    kernel: Kernel,
    x: Tensor,
    z: Tensor,
    times: Sequence[float],
    generator: torch.Generator,
    count: int = 256,
) -> Tensor:
    """Singular values, falling, averaged over the x_t of pairs x, z (B, ...), one row a time.

    (len(times), D) up to `EXACT` dimensions, else the `count` largest.
    """
    rows = []
    for time in times:
        x_t = kernel(x, z, x.new_full((len(x),), time))
        if x[0].numel() <= EXACT:
            values = singular_values(f, x_t, time)
        else:
            values = leading_singular_values(f, x_t, time, count, generator)
        rows.append(values.mean(dim=0))
    return torch.stack(rows)


def gap_dimension(spectrum: Tensor) -> int:
    """How many values stand before the largest gap of a falling spectrum (K,): 1 to K - 1."""
    return int((spectrum[:-1] - spectrum[1:]).argmax()) + 1


def _orthonormal(rows: Tensor) -> Tensor:
    return torch.linalg.qr(rows.T).Q.T.contiguous()
