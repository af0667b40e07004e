"""What a user's own classes were when a training used them.

Settings name such a class and say nothing of what it does. So a training records its file, and goes
on, or has its files put back, only with the same one. Comments and spacing do not count.
"""

import ast
import hashlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from vct.lab.settings import registry
from vct.lab.settings.base import OwnSettings


def own_classes(part: Any) -> Iterator[str]:
    """Dotted paths of the user's classes that stand somewhere in these settings."""
    if isinstance(part, OwnSettings):
        yield part.kind
    for field in getattr(type(part), "model_fields", {}):
        yield from own_classes(getattr(part, field))


def own_code(settings: Any) -> dict[str, dict[str, str]]:
    """{"own_code": hash of the file by class}, for the run's record; empty without such a class."""
    found = {path: _sha256(path) for path in sorted(set(own_classes(settings)))}
    return {"own_code": found} if found else {}


def _sha256(path: str) -> str:
    file = registry.file_of(path)
    if file is None:
        return "no file"
    content = file.read_bytes()
    with suppress(SyntaxError, ValueError):  # no Python source: a compiled module
        content = ast.dump(ast.parse(content)).encode()
    return hashlib.sha256(content).hexdigest()
