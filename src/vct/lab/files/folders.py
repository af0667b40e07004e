"""Folders that are there whole or not at all."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vct.lab.errors import UserError


@contextmanager
def whole_folder(folder: Path, ours: Callable[[Path], bool]) -> Iterator[Path]:
    """Yield a new folder beside `folder`; on success it takes its place.

    Args:
        ours: whether a folder that is there, and not empty, may be replaced.

    Raises:
        UserError: if something else is there, or it cannot be written to.
    """
    target = folder.resolve()  # of a link, what it leads to
    _check(folder, ours)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".tmp-{target.name}-", dir=target.parent))
        try:
            new = aside / "new"
            new.mkdir()
            yield new
            if target.exists():
                target.rename(aside / "old")
            new.rename(target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        why = error.strerror or error
        raise UserError(
            f"{folder} cannot be written ({why}); make room, or name another."
        ) from None


def _check(folder: Path, ours: Callable[[Path], bool]) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder that is not there yet.")
    found = sorted(path.name for path in folder.iterdir())
    if found and not ours(folder):
        raise UserError(
            f"{folder} holds something else ({', '.join(found[:3])}); name a folder that is empty "
            "or not there yet."
        )
