"""What convolutions and matrix products of a step take by themselves, each in its best layout."""

import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

KINDS = {
    "convolution",
    "convolution_backward",
    "mm",
    "addmm",
    "bmm",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_flash_attention_for_cpu_backward",
}
Key = tuple[Any, ...]


class Pieces(TorchDispatchMode):
    """Notes each call of such an operation, with the shapes of what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.examples: dict[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in KINDS:
            shown = [tuple(a.shape) if isinstance(a, torch.Tensor) else a for a in args]
            key = f"{func} {shown} {kwargs}"
            self.calls[key] += 1
            if key not in self.examples:
                kept = tuple(a.clone() if isinstance(a, torch.Tensor) else a for a in args)
                self.examples[key] = func, kept, kwargs or {}
        return func(*args, **(kwargs or {}))


def seconds(step: Callable[[], Any], repeats: int = 4) -> float:
    """Sum over all pieces of `step` of the least time that each took."""
    with Pieces() as pieces:
        step()
    total = 0.0
    for key, (func, args, kwargs) in pieces.examples.items():
        layouts = [torch.contiguous_format]
        if "convolution" in key:
            layouts.append(torch.channels_last)
        best = min(_least(func, _in(layout, args), kwargs, repeats) for layout in layouts)
        total += pieces.calls[key] * best
    return total


def _in(layout: torch.memory_format, args: tuple[Any, ...]) -> list[Any]:
    def changed(value: Any) -> Any:
        images = isinstance(value, torch.Tensor) and value.dim() == 4
        return value.contiguous(memory_format=layout) if images else value

    return [changed(value) for value in args]


@torch.no_grad()
def _least(func: Any, args: list[Any], kwargs: dict[str, Any], repeats: int) -> float:
    least = math.inf
    for _ in range(repeats):
        begin = time.process_time()
        func(*args, **kwargs)
        least = min(least, time.process_time() - begin)
    return least
