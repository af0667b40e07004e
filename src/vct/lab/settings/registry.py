"""Word → class: importing what a settings class builds, and sentences on unknown words.

A user's class is named by its dotted path (`mypackage.module.Class`, or `module.Class` for a file
beside params.yaml). Modules are imported when a class is asked for, so that reading settings stays
instant.
"""

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vct.lab.errors import UserError, quoted


def find(place: str, family: str = "class") -> Any:
    """The class or function at `place`, "module:attribute".

    Args:
        family: what a message calls it.

    Raises:
        UserError: if it cannot be imported.
    """
    module, _, attribute = place.partition(":")
    _search_here()
    try:
        return getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # the user's module may fail in any way
        reason, name = f"{type(error).__name__}: {error}", f"the {family} '{module}.{attribute}'"
        there = module in sys.modules
        # Not there: the module itself or a package around it, and not what it imports.
        absent = isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(
            f"{error.name}."
        )
        if not there and not absent:
            raise UserError(
                f"{name} fails when its file is read ({reason}); correct it."
            ) from error
        of = f" of {file_of(place)}" if there else ""
        raise UserError(
            f"{name} cannot be imported{of} ({reason}); it must be the dotted path of a class "
            "in an installed package or in a file beside params.yaml."
        ) from error


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """One sentence on an unknown name, with the nearest known ones."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=2)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}."
    return f"there is no {what} {quoted(name)}; {hint}"


def file_of(place: str) -> Path | None:
    """The file of the module of a user's class; None where there is none, or no module."""
    _search_here()
    try:
        spec = importlib.util.find_spec(place.partition(":")[0])
    except (Exception, SystemExit):  # a package around it may fail in any way
        return None
    file = Path(spec.origin) if spec is not None and spec.origin else None
    return file if file is not None and file.is_file() else None


def _search_here() -> None:
    """Modules beside params.yaml are found."""
    if "" not in sys.path:
        sys.path.insert(0, "")
