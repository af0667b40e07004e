"""What a user's own classes were when a training used them.

Settings name such a class and say nothing of what it does. So a training records its file, and goes
on, or has its files put back, only with the same one. Comments and spacing do not count.
"""

import ast
import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from vct.lab.settings import registry
from vct.lab.settings.base import FamilySettings


def own_classes(part: Any) -> Iterator[str]:
    """Places, "module:class", of the user's classes that stand somewhere in these settings."""
    if isinstance(part, FamilySettings) and part.is_own:
        yield part.builds
    inside = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    for each in (
        *inside,
        *(getattr(part, field) for field in getattr(type(part), "model_fields", ())),
    ):
        yield from own_classes(each)


def own_files(settings: Any) -> list[str]:
    """Files of the user's classes in these settings that stand in the folder of params.yaml, from
    there; not those of installed packages."""
    here = Path.cwd()
    files = (registry.file_of(place) for place in sorted(set(own_classes(settings))))
    inside = {
        file.resolve().relative_to(here)
        for file in files
        if file and file.resolve().is_relative_to(here)
    }
    return sorted(str(file) for file in inside if "site-packages" not in file.parts)


def own_code(settings: Any) -> dict[str, dict[str, str]]:
    """{"own_code": hash of the file by class}, for the run's record; empty without such a class."""
    places = sorted(set(own_classes(settings)))
    found = {place.replace(":", "."): _sha256(place) for place in places}
    return {"own_code": found} if found else {}


def _sha256(place: str) -> str:
    file = registry.file_of(place)
    if file is None:
        return "no file"
    content = file.read_bytes()
    with suppress(SyntaxError, ValueError):  # no Python source: a compiled module
        content = ast.dump(ast.parse(content)).encode()
    return hashlib.sha256(content).hexdigest()
