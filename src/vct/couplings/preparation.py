"""What a coupling and those inside of it prepare, together.

Names are those of the parts, behind the places of their modules: `base.potentials` of the base of
a generator-augmented coupling.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from vct.couplings.base import Coupling, PreparingContext
from vct.misfit import Misfit


def prepares(coupling: Coupling) -> bool:
    """Whether it, or a coupling inside of it, makes something before training."""
    return any(type(part).prepare is not Coupling.prepare for _, part in _parts(coupling))


@torch.no_grad()
def prepare(coupling: Coupling, context: PreparingContext) -> dict[str, Tensor]:
    """What all parts of a coupling make before training, by place and name.

    Raises:
        Misfit: if a part gives something else than named tensors.

    Example:
        >>> x = torch.randn(20, 2, 1, 1)
        >>> coupling = Semidiscrete(lambda: (x, None), iterations=10)
        >>> list(prepare(coupling, PreparingContext(x[:0])))
        ['potentials']
    """
    found = {}
    for place, part in _parts(coupling):
        made = part.prepare(context)
        kind = type(part).__name__
        if not isinstance(made, Mapping):
            raise Misfit(f"{kind}.prepare gives {type(made).__name__}, not named tensors")
        for name, tensor in made.items():
            if not isinstance(name, str) or not name or "." in name:
                raise Misfit(f"{kind}.prepare gives the name {name!r}; names are without dots")
            if not isinstance(tensor, Tensor):
                raise Misfit(f"{kind}.prepare: {name} is {type(tensor).__name__}, not a tensor")
            found[f"{place}.{name}".lstrip(".")] = tensor
    return found


def accept(coupling: Coupling, prepared: Mapping[str, Tensor]) -> None:
    """Give all parts what `prepare` made of such a coupling."""
    for place, part in _parts(coupling):
        named = (name.rpartition(".") for name in prepared)
        mine = {name: prepared[f"{at}{dot}{name}"] for at, dot, name in named if at == place}
        if mine:
            part.accept(mine)


def _parts(coupling: Coupling) -> Iterator[tuple[str, Coupling]]:
    for place, part in coupling.named_modules():
        if isinstance(part, Coupling):
            yield place, part
