"""Which settings or tensors differ, for a message."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def differences(then: Any, now: Any, key: str = "") -> list[str]:
    """Which keys differ between two settings, as "key: then -> now"."""
    if isinstance(then, dict) and isinstance(now, dict):
        keys = [*then, *(name for name in now if name not in then)]
        parts = [
            differences(then.get(name), now.get(name), f"{key}.{name}".lstrip(".")) for name in keys
        ]
        return [part for found in parts for part in found]
    return [] if then == now else [f"{key}: {then} -> {now}"]


def mismatches(given: "Mapping[str, Tensor]", wanted: "Mapping[str, Tensor]") -> str:
    """The first three tensors that differ in name or shape, in words; empty if none does."""
    words = []
    for name in [*wanted, *(name for name in given if name not in wanted)]:
        if name not in given:
            words.append(f"{name} is missing")
        elif name not in wanted:
            words.append(f"{name} is one too many")
        elif given[name].shape != wanted[name].shape:
            shapes = tuple(given[name].shape), tuple(wanted[name].shape)
            words.append(f"{name} has shape {shapes[0]} instead of {shapes[1]}")
    more = f" and {len(words) - 3} more" if len(words) > 3 else ""
    return ", ".join(words[:3]) + more
