"""Times of things that take turns, so that a busy machine disturbs all alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any


def medians(
    cases: Mapping[str, Callable[[int], Any]], rounds: int, each: int = 1
) -> dict[str, float]:
    """Median seconds of the CPU that a call of each case takes, over `rounds`; a first does not
    count.

    Args:
        cases: what to call, with a number that rises from call to call.
        each: calls in a row whose times are added before it is another one's turn.
    """
    found: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(rounds + 1):
        for name, call in cases.items():
            begin = time.process_time()
            for one in range(each):
                call(turn * each + one)
            found[name].append((time.process_time() - begin) / each)
    return {name: statistics.median(times[1:]) for name, times in found.items()}


def ratio(number: float) -> str:
    """As a table shows it."""
    return f"{number:.2f}"


def share(number: float) -> str:
    """As a table shows it."""
    return f"{100 * number:.1f} %"
