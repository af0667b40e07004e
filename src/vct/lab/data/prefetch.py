"""Making ready, in a thread, what the next steps will ask for."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetch(Generic[T]):
    """Calls `load(step)` for steps to come while the current one is worked on.

    What a step gets depends on its number alone, so the order of calls changes no result.

    Args:
        load: makes what a step needs; called in one thread, in the order of the steps.
        ahead: how many steps to be ahead; 0 calls `load` when it is asked for.
        stop: the first step that will not be asked for, if it is known.
    """

    def __init__(self, load: Callable[[int], T], ahead: int, stop: int | None = None) -> None:
        self.load, self.ahead, self.stop = load, ahead, stop
        self._pool = ThreadPoolExecutor(1, "vct-prefetch") if ahead else None
        self._pending: dict[int, Future[T]] = {}

    def close(self) -> None:
        """Load nothing more ahead: a program that ends would else wait for all of it."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def at(self, step: int) -> T:
        """What `step` needs; an error of `load` is raised here."""
        if self._pool is None:
            return self.load(step)
        if step not in self._pending:
            self._pending.clear()
        end = step + self.ahead + 1
        if self.stop is not None:
            end = max(step + 1, min(end, self.stop))
        for coming in range(step, end):
            if coming not in self._pending:
                self._pending[coming] = self._pool.submit(self.load, coming)
        return self._pending.pop(step).result()
