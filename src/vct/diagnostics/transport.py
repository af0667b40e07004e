"""What it costs to carry data to the noise that it is paired with."""

from dataclasses import dataclass

from torch import Tensor

from vct.couplings.minibatch_ot import assignment
from vct.misfit import check


@dataclass(frozen=True)
class TransportCost:
    """The cost E|x - z|²/D of some pairs, and of the same x and z paired in two other ways.

    Args:
        paired: of the pairs as they are.
        independent: of each x with every z, the mean over all N² pairs.
        optimal: of the pairing of these points that costs least.
    """

    paired: float
    independent: float
    optimal: float

    @property
    def share(self) -> float:
        """The part that is left of what an optimal pairing saves: 0 where the pairs are optimal, 1
        where they cost as much as independent ones, above 1 where they cost more. A shift or a
        positive factor of x or z does not change it, so |x - T z|² gives the same; NaN where every
        pairing costs the same.
        """
        saved = self.independent - self.optimal
        return (self.paired - self.optimal) / saved if saved > 0 else float("nan")


def transport_cost(x: Tensor, z: Tensor) -> TransportCost:
    """Costs of pairs of x and z (N, ...), in double precision; O(N³) and memory for N² numbers.

    Both references are of these N points, whatever the distribution of z is. N points are paired
    more cheaply than two distributions are, so `optimal` rises with N and `share` depends on it,
    ever more as D grows: compare couplings at the same N. All is NaN if x or z is not finite.
    """
    check("z", z, x.shape)
    x, z = x.flatten(1).double(), z.flatten(1).double()
    x_mean, z_mean = x.mean(dim=0), z.mean(dim=0)
    x, z = x - x_mean, z - z_mean
    plan = assignment(x, z)
    if plan is None:
        return TransportCost(*[float("nan")] * 3)
    # A centred x has no product with z on average, so all costs differ in the products alone.
    between = (x_mean - z_mean).square().sum() / x.shape[1]
    alone = between + (x.square() + z.square()).mean()
    paired, optimal = (x * z).mean(), (x * z[plan]).mean()
    return TransportCost(*(float(alone - 2 * gain) for gain in (paired, 0 * paired, optimal)))
