"""Files that are either whole or not there: written beside their place, synced, renamed."""

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vct.lab.errors import UserError
from vct.lab.files.layout import made_by

TEMPORARY = ".tmp-"
"""How names of files begin that are being written, in .gitignore and .dvcignore too."""


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed to `path`.

    The temporary name keeps the suffix of `path`, since some writers (numpy, matplotlib) look at
    it. On any error the temporary file is removed and `path` stays as it was.

    Raises:
        UserError: if the folder cannot be written to, or the disk is full.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f"{TEMPORARY}{path.stem}-", suffix=path.suffix, dir=path.parent
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        _sync(temporary)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"cannot write {path}: {reason}; make room or choose a writable folder."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def remove_temporary(folder: Path, names: Iterable[str]) -> None:
    """Remove what processes left that were killed while they wrote the files `names` of a folder.

    Names may hold wildcards. Only for who knows that nobody is writing these files now.
    """
    for name in names:
        path = Path(name)
        for left in folder.glob(f"{TEMPORARY}{path.stem}-*{path.suffix}"):
            left.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` as indented JSON to `path` atomically; NaN and infinity become null."""
    write_text(path, json.dumps(_finite(content), indent=2) + "\n")


def _finite(content: Any) -> Any:
    """JSON has no NaN or infinity; strict readers reject Python's spelling of them."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def read_text(path: str | Path) -> str:
    """Read a text file.

    Raises:
        UserError: if the file is missing or is not UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise missing(path) from None
    except (ValueError, OSError) as error:
        raise damaged(path, str(error)) from None


def missing(path: str | Path) -> UserError:
    """The error for a file that is not there."""
    command = made_by(path)
    how = f"make it: {command}" if command else "run the stage that makes it first."
    return UserError(f"{path} is missing; {how}")


def damaged(path: str | Path, why: str) -> UserError:
    """The error for a file that is there and cannot be used."""
    command = made_by(path)
    return UserError(
        f"{path} is damaged: {why}; delete it and make it again{f': {command}' if command else '.'}"
    )


def file_sha256(path: str | Path) -> str:
    """Hash of a file, in hexadecimal.

    Raises:
        UserError: if it is missing or cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise missing(path) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; make it readable.") from error


def hashes(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Hashes of the files `names` of a folder, as a stage records what it read and wrote."""
    return {name: file_sha256(folder / name) for name in names}
