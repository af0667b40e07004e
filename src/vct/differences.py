"""Which settings differ, for a message."""

from typing import Any


def differences(then: Any, now: Any, key: str = "") -> list[str]:
    """Which keys differ between two settings, as "key: then -> now"."""
    if isinstance(then, dict) and isinstance(now, dict):
        keys = [*then, *(name for name in now if name not in then)]
        parts = [
            differences(then.get(name), now.get(name), f"{key}.{name}".lstrip(".")) for name in keys
        ]
        return [part for found in parts for part in found]
    return [] if then == now else [f"{key}: {then} -> {now}"]
