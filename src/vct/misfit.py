"""What a class gives that its family does not promise."""

from collections.abc import Iterable
from typing import Any


class Misfit(TypeError):
    """One sentence on a coupling, an objective or another class: what it gave, what is wanted."""


def one_of(what: str, value: Any, words: Iterable[str]) -> None:
    """Refuse a word that is not among `words`, whatever type says so: it would choose another.

    Raises:
        Misfit: naming `what`.
    """
    known = tuple(words)
    if value not in known:
        raise Misfit(f"{what} is {value!r}, not one of {', '.join(known)}")


def check(what: str, value: Any, shape: Iterable[int]) -> None:
    """Refuse a value that is no tensor of `shape`; a wrong one would often be broadcast silently.

    Raises:
        Misfit: naming `what`.
    """
    wanted, found = tuple(shape), getattr(value, "shape", None)
    if found is None:
        raise Misfit(f"{what} is {type(value).__name__}, not a tensor of shape {wanted}")
    if tuple(found) != wanted:
        raise Misfit(f"{what} has shape {tuple(found)}, not {wanted}")
