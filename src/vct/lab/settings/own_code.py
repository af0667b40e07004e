"""What a user's own classes were when a training used them.

Settings name such a class and say nothing of what it does. So a training records its file, with
those of the project that it imports, and goes on, or has its files put back, only with the same
ones. Comments and spacing do not count.
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
    places = (registry.file_of(place) for place in sorted(set(own_classes(settings))))
    files = {each.resolve() for place in places if place for each in (place, *imported(place))}
    here = Path.cwd()
    inside = {file.relative_to(here) for file in files if file.is_relative_to(here)}
    return sorted(str(file) for file in inside if "site-packages" not in file.parts)


def imported(file: Path) -> list[Path]:
    """Files that a user's module imports, and those that they import, sorted: those beside
    params.yaml or beside the file, and below. Nothing is run to find them."""
    found, left = set[Path](), [file.resolve()]
    while left:
        new = {each.resolve() for each in _imports(left.pop())} - found - {file.resolve()}
        found |= new
        left += new
    return sorted(found)


def _imports(file: Path) -> Iterator[Path]:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # no Python source: a compiled module
        return
    for node in ast.walk(tree):
        names, folder = list[str](), Path.cwd()
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            # What is imported may be a module of the package, or a name in it.
            start = node.module or ""
            names = [start, *(f"{start}.{each.name}".lstrip(".") for each in node.names)]
            folder = file.parents[node.level - 1] if node.level else folder
        for name in filter(None, names):
            path = folder.joinpath(*name.split("."))
            packages = [each / "__init__.py" for each in (path, *path.parents) if each != folder]
            for module in (path.with_suffix(".py"), *packages):
                if module.is_file() and module.is_relative_to(folder):
                    yield module


def own_code(settings: Any) -> dict[str, dict[str, str]]:
    """{"own_code": hash of the file by class}, for the run's record; empty without such a class."""
    places = sorted(set(own_classes(settings)))
    found = {place.replace(":", "."): _sha256(place) for place in places}
    return {"own_code": found} if found else {}


def _sha256(place: str) -> str:
    file = registry.file_of(place)
    if file is None:
        return "no file"
    content = b"".join(_meaning(each) for each in (file, *imported(file)))
    return hashlib.sha256(content).hexdigest()


def _meaning(file: Path) -> bytes:
    content = file.read_bytes()
    with suppress(SyntaxError, ValueError):  # no Python source: a compiled module
        content = ast.dump(ast.parse(content)).encode()
    return content
