"""What goes wrong in a user's own class, as one sentence with the place in the user's file."""

import re
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import vct
from vct.lab.errors import UserError, out_of_memory
from vct.lab.settings import registry
from vct.lab.settings.own_code import own_classes
from vct.misfit import Misfit

PACKAGE = Path(vct.__file__).parent
GIVEN = (AttributeError, IndexError, NotImplementedError, RuntimeError, TypeError, ValueError)
"""What this package may meet where a user's class gave something strange, or nothing."""


@contextmanager
def explained(settings: Any) -> Iterator[None]:
    """Turn what the user's classes in `settings` raise, or give that does not fit, into a sentence.

    Raises:
        UserError: with the file and the line, where the error passed through such a class.
    """
    try:
        yield
    except UserError:
        raise
    except SystemExit as error:
        if where := place(error, set(own_classes(settings))):
            raise UserError(f"{where}: it ends the program; let it raise an error.") from error
        raise
    except Exception as error:  # the user's class may fail in any way
        classes = sorted(set(own_classes(settings)))
        where = place(error, classes)
        misfit = isinstance(error, Misfit) or _is_wrong_call(error, classes)
        if out_of_memory(error) or not classes:
            raise
        named = [each for each in classes if _names(error, each)]
        names = ", ".join(name.replace(":", ".") for name in named or classes)
        if where or misfit:
            raise UserError(
                f"{where or names}: {described(error)}; see what its family asks for, and correct "
                "it."
            ) from error
        if not isinstance(error, GIVEN):
            raise
        raise UserError(
            f"{described(error)} ({_ours(error)}), perhaps of what one of your classes gave: "
            f"{names}; see what its family asks for. If it is none of them, report this line."
        ) from error


def place(error: BaseException, classes: Iterable[str]) -> str:
    """The last line of a file of one of `classes` ("module:class") that an error passed through.

    Returns:
        "file.py, line 3, in couple"; empty where it passed through none.
    """
    files = {file.resolve() for each in classes if (file := registry.file_of(each))}
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if (file := Path(frame.filename).resolve()) in files:
            return f"{file.name}, line {frame.lineno}, in {frame.name}"
    return ""


def _names(error: Exception, place: str) -> bool:
    """Whether the message of an error names the class at "module:class"."""
    return bool(re.search(rf"\b{re.escape(place.rpartition(':')[2])}\b", str(error)))


def _ours(error: Exception) -> str:
    """The last line of this package that an error passed through."""
    frames = traceback.extract_tb(error.__traceback__)
    here = next(each for each in reversed(frames) if PACKAGE in Path(each.filename).parents)
    return f"{Path(here.filename).relative_to(PACKAGE.parent)}, line {here.lineno}"


def _is_wrong_call(error: Exception, classes: Iterable[str]) -> bool:
    """Whether a method of one of `classes` does not take what it is called with."""
    names = tuple(f"{each.rpartition(':')[2]}." for each in classes)
    return isinstance(error, TypeError) and str(error).startswith(names)


def described(error: Exception) -> str:
    """Kind and message of an error."""
    return str(error) if isinstance(error, Misfit) else f"{type(error).__name__}: {error}"
