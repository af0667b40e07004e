"""Functions that run in several processes at once, joined by gloo."""

import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from faults import killing

from vct.lab.processes.group import STORE, joined_group


def environment(rank: int, size: int, store: Path) -> dict[str, str]:
    """What a process of a group finds in its environment."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, STORE: store}
    return {name: str(value) for name, value in place.items()}


def _member(function: Callable, arguments: tuple, rank: int, size: int, folder: Path) -> None:
    os.environ |= environment(rank, size, folder / "store")
    torch.set_num_threads(1)
    try:
        with joined_group():
            result: Any = function(*arguments)
    except Exception:
        result = traceback.format_exc()
    torch.save(result, folder / f"{rank}.pt")


def together(folder: Path, size: int, function: Callable, *arguments: Any) -> list[Any]:
    """What `function(*arguments)`, of a module, returns in each of `size` processes.

    Results are what torch.save keeps, or the traceback of an exception.
    """
    folder.mkdir(parents=True)
    server = killing.context()
    members = [
        server.Process(target=_member, args=(function, arguments, rank, size, folder))
        for rank in range(size)
    ]
    for member in members:
        member.start()
    for member in members:
        member.join()
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(size)]
