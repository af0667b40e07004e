"""Independent coupling (IC): the usual pairing of consistency training."""

from torch import Tensor

from vct.couplings.base import Coupling


class Independent(Coupling):
    """z = eps."""

    scope = "sample"
    independent = True

    def couple(self, x: Tensor, eps: Tensor, labels: Tensor | None = None) -> Tensor:
        return eps
