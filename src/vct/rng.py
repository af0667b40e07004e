"""Randomness as a function of (seed, step, purpose).

Nothing random is carried from one step to the next, so a run that is killed and resumed draws what
an undisturbed one draws, and adding a purpose changes no other.
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
from torch.quasirandom import SobolEngine


def key(*parts: int | str) -> int:
    """A 63-bit seed from any words and numbers, such as (seed, step, "noise")."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(*parts: int | str, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator that depends on `parts` alone."""
    return torch.Generator(device=device).manual_seed(key(*parts))


def normal(shape: tuple[int, ...], *parts: int | str, device: torch.device) -> torch.Tensor:
    """Standard normal float32 tensor of `shape`, a function of `parts` and the kind of device."""
    return torch.randn(shape, generator=generator(*parts, device=device), device=device)


BLOCK = 256
"""Rows that are drawn at once, so that a row does not depend on how many are asked for."""


def normal_rows(
    shape: tuple[int, ...], first: int, *parts: int | str, device: torch.device
) -> torch.Tensor:
    """Rows `first`, `first` + 1, ... (`shape` is all of theirs) of an endless table of standard
    normal numbers, which is a function of `parts` and the kind of device."""

    def block(index: int) -> torch.Tensor:
        return normal((BLOCK, *shape[1:]), *parts, index, device=device)

    return _rows(block, first, shape[0])


def uniform_rows(count: int, first: int, *parts: int | str) -> torch.Tensor:
    """Numbers `first`, `first` + 1, ... (count,) of an endless sequence, uniform in [0, 1)."""

    def block(index: int) -> torch.Tensor:
        return torch.rand(BLOCK, generator=generator(*parts, index), dtype=torch.float64)

    return _rows(block, first, count)


def _rows(block: Callable[[int], torch.Tensor], first: int, count: int) -> torch.Tensor:
    begin = first // BLOCK
    blocks = [block(index) for index in range(begin, -(-(first + count) // BLOCK))]
    return torch.cat(blocks)[first - begin * BLOCK :][:count]


SOBOL_SIZE = SobolEngine.MAXDIM
"""Most numbers of a Sobol point."""


def sobol_normal(shape: tuple[int, ...], *parts: int | str) -> torch.Tensor:
    """Stratified standard normal points of `shape` (N, ...): scrambled Sobol points, mapped by the
    normal quantile function. Averages over them vary far less than over independent points; meant
    for few dimensions and N a power of two."""
    engine = SobolEngine(math.prod(shape[1:]), scramble=True, seed=key(*parts))
    uniform = engine.draw(shape[0], dtype=torch.float64)
    # The smallest step of the points keeps the quantiles finite when one falls on 0 or 1.
    points = torch.special.ndtri(uniform.clamp(2.0**-31, 1 - 2.0**-31))
    return points.float().reshape(shape)


@contextmanager
def defaults(*parts: int | str) -> Iterator[None]:
    """What torch's default generators give inside depends on `parts` alone; afterwards they go on
    where they were.

    Their states are on the CPU, those of GPUs too, so nothing waits for a GPU. (`torch.manual_seed`
    would look for every kind of device each time, which takes as long as a small network.)
    """
    cuda = torch.cuda.default_generators if torch.cuda.is_initialized() else ()
    generators, seed = (torch.default_generator, *cuda), key(*parts)
    before = [each.get_state() for each in generators]
    for each in generators:
        each.manual_seed(seed)
    try:
        yield
    finally:
        for each, state in zip(generators, before, strict=True):
            each.set_state(state)


def dropout(*parts: int | str) -> AbstractContextManager[None]:
    """Masks of dropout inside depend on `parts` alone; they are drawn from the default generators.

    Student and teacher enter this with the same key and so get the same mask (iCT, Section 3.3).
    """
    return defaults(*parts, "dropout")


LOOP = frozenset({"times", "noise", "flip", "order"})
"""What a training loop draws for (seed, step, purpose) by itself: a coupling that names its own
numbers so gets others."""


@dataclass(frozen=True)
class Draw:
    """What is random in one training step, for one part of the batch.

    Numbers of a sample are the same however the batch is divided; masks of dropout depend on the
    part, since each is drawn for a part as a whole.

    Args:
        seed: of the run.
        step: k.
        start: place of the first of the part's samples in the batch.
        total: samples of the batch; None where the part is all of it.
    """

    seed: int
    step: int
    start: int = 0
    total: int | None = None

    def uniform(self, purpose: str, like: torch.Tensor) -> torch.Tensor:
        """Uniform numbers in [0, 1), one a sample, for the samples of `like` (B, ...)."""
        count, device = len(like), like.device
        numbers = torch.rand(
            self.total or count,
            generator=generator(*self._key(purpose), device=device),
            device=device,
        )
        return numbers[self.start : self.start + count]

    def normal(self, purpose: str, like: torch.Tensor) -> torch.Tensor:
        """Standard normal numbers of the shape of `like` (B, ...), for its samples."""
        shape = (self.total or len(like), *like.shape[1:])
        numbers = normal(shape, *self._key(purpose), device=like.device)
        return numbers[self.start : self.start + len(like)].to(like.dtype)

    def _key(self, purpose: str) -> tuple[int | str, ...]:
        own = ("own",) if purpose in LOOP else ()
        return self.seed, self.step, *own, purpose

    def dropout(self, purpose: str) -> AbstractContextManager[None]:
        """Masks of dropout inside; see `dropout`."""
        place = () if self.total is None else (self.start,)
        return dropout(self.seed, self.step, *place, purpose)
