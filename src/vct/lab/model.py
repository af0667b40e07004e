"""What is trained together."""

from torch import nn

from vct.couplings.base import Coupling


class Model(nn.Module):
    """The network F and the coupling with what it learns."""

    network: nn.Module
    coupling: Coupling

    def __init__(self, network: nn.Module, coupling: Coupling) -> None:
        super().__init__()
        self.network, self.coupling = network, coupling
