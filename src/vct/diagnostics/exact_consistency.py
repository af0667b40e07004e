"""The exact consistency function: where the flow of an oracle takes x_t."""

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from vct.diagnostics.oracle import Oracle
from vct.diagnostics.times import one_time
from vct.samplers.heun import heun_times


@dataclass(frozen=True)
class ExactConsistency:
    """f*(x_t, t) = x(t_min) on the solution of dx/dt = `oracle.velocity` through x(t) = x_t: what
    consistency training converges to with the data and the coupling of the oracle.

    Solved in double precision by the classical Runge-Kutta method of order 4, on the times of EDM
    (arXiv 2206.00364, eq. 5) between t and t_min. A last step to 0 is E[x | x_t], since nothing
    between that time and 0 matters. Twice as many steps tell how far the answer is from the limit.

    Args:
        oracle: gives the flow.
        t_min: the end, at least 0.
        steps: of the solver, at least 2; four calls of the oracle each.
        rho: exponent of the times.
    """

    oracle: Oracle
    t_min: float = 0.0
    steps: int = 128
    rho: float = 7.0

    def __call__(self, x_t: Tensor, t: float | Tensor) -> Tensor:
        """f*(x_t, t) of the shape of x_t (B, ...), double, for one t >= t_min (see `one_time`).

        Raises:
            ValueError: where t is below t_min.
        """
        start, x = float(one_time(t)), x_t.to(self.oracle.x)
        if start < self.t_min:
            raise ValueError(f"t = {start:g} is below t_min = {self.t_min:g}; ask for later times")
        if start == self.t_min:
            return x
        times = heun_times(self.steps + 1, start, self.t_min, self.rho)[:-1]
        for now, end in pairwise(times):
            x = self.oracle.denoise(x, now) if end == 0 else self._step(x, now, end)
        return x

    def _step(self, x: Tensor, now: float, end: float) -> Tensor:
        velocity, step = self.oracle.velocity, end - now
        first = velocity(x, now)
        second = velocity(x + step / 2 * first, now + step / 2)
        third = velocity(x + step / 2 * second, now + step / 2)
        fourth = velocity(x + step * third, end)
        return x + step / 6 * (first + 2 * second + 2 * third + fourth)
