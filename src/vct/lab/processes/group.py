"""Several processes that work on one run, one for each device.

They are started by `vct` itself (`vct.lab.processes.launch`) or by torchrun; both say in
the environment who is who. A process that was started alone is a group of one, and nothing here
costs it anything.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from vct.lab.errors import PeerLost, UserError
from vct.lab.processes.stops import by_the_system

STORE = "VCT_STORE"
"""Environment variable: the file by which processes that `vct` started find each other."""
PATIENCE = timedelta(days=2)
"""How long a process waits for another before it takes it for lost: torch's 10 to 30 minutes are
short where one works alone, as in scoring. One that ended is noticed at once."""
T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """The processes of a run, and which of them this is.

    Args:
        rank: of this process, from 0.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def main(self) -> bool:
        """Whether this process writes what the group makes."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Which of `count` things are this process's: contiguous, in the order of the ranks."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def add(self, tensor: Tensor) -> None:
        """Replace `tensor` by its sum over the group; the same bits in every process."""
        if self.size > 1:
            _together(lambda: dist.all_reduce(tensor))

    def any(self, flag: bool) -> bool:
        """Whether some process says so; does not wait for the GPU."""
        if self.size == 1:
            return flag
        count = torch.tensor(int(flag))
        self.add(count)
        return bool(count)

    def gather(self, rows: Tensor) -> Tensor:
        """Rows (n, ...) of all processes, in the order of the ranks; n is the same in each."""
        if self.size == 1:
            return rows
        parts = [torch.empty_like(rows) for _ in range(self.size)]
        _together(lambda: dist.all_gather(parts, rows.contiguous()))
        return torch.cat(parts)

    def broadcast(self, tensor: Tensor) -> None:
        """Replace `tensor` by the main process's."""
        if self.size > 1:
            _together(lambda: dist.broadcast(tensor, 0))

    def deal(self, rows: np.ndarray | None, ends: list[int], like: Tensor) -> Tensor:
        """A share of the main process's rows (n, ...) for each process: those up to ends[rank].

        Args:
            rows: of the main process; None elsewhere.
            ends: where the shares end, in order of the ranks; the last is n.
            like: an empty tensor (0, ...) of the rows' shape and type.
        """
        starts = [0, *ends[:-1]]
        counts = [end - start for start, end in zip(starts, ends, strict=True)]
        share = like.new_zeros((max(counts), *like.shape[1:]))
        parts = None
        if rows is not None:
            parts = [torch.zeros_like(share) for _ in ends]
            for part, start, end in zip(parts, starts, ends, strict=True):
                part[: end - start] = torch.tensor(np.ascontiguousarray(rows[start:end]))
        _together(lambda: dist.scatter(share, parts))
        return share[: counts[self.rank]]

    def collect(self, rows: np.ndarray) -> np.ndarray:
        """Rows (n, ...) of all processes, in the order of the ranks, for the main process.

        n may differ between processes. The others get their own rows back.
        """
        if self.size == 1:
            return rows
        counts = self.gather(torch.tensor([len(rows)])).tolist()
        padded = torch.zeros((max(counts), *rows.shape[1:]), dtype=torch.from_numpy(rows).dtype)
        padded[: len(rows)] = torch.from_numpy(rows)
        parts = [torch.empty_like(padded) for _ in counts] if self.main else None
        _together(lambda: dist.gather(padded, parts))
        if parts is None:
            return rows
        kept = [part[:count].numpy() for part, count in zip(parts, counts, strict=True)]
        return np.concatenate(kept)

    def wait(self) -> None:
        """Until all processes are here."""
        self.any(False)


def _together(call: Callable[[], T]) -> T:
    """A call in which all processes take part."""
    try:
        return call()
    except RuntimeError as error:  # torch and gloo have no narrower class in common
        reason = str(error).splitlines()[0]
        raise PeerLost(f"another process of this run ended ({reason}); see what it said.") from None


def current_group() -> Group:
    """The group of this process."""
    if not (dist.is_available() and dist.is_initialized()):
        return Group()
    return Group(dist.get_rank(), dist.get_world_size())


def local_rank() -> int:
    """Which of the processes on this machine this is; it takes the device of that number."""
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def joined_group() -> Iterator[None]:
    """Be one of the group that the environment names (WORLD_SIZE, RANK, LOCAL_RANK).

    CPU tensors go through gloo; those of a GPU through NCCL.

    Raises:
        UserError: if the others cannot be found.
    """
    store = os.environ.get(STORE)
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(local_rank() % torch.cuda.device_count())
    try:
        with by_the_system():
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if cuda else "gloo",
                init_method=f"file://{store}" if store else "env://",
                rank=int(os.environ["RANK"]),
                world_size=int(os.environ["WORLD_SIZE"]),
                timeout=PATIENCE,
            )
    except (RuntimeError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"the processes of this run cannot find each other ({reason}); start them with "
            "runtime.processes, or with torchrun."
        ) from None
    try:
        yield
    finally:
        dist.destroy_process_group()
