"""The files of a folder or of a zip archive, listed and read alike.

An archive is read where it is: nothing of it is ever written to disk, so a hostile name in it has
nowhere to go.
"""

import lzma
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from vct.lab.errors import UserError

# What Python's unpackers raise on damaged, encrypted or oddly packed data.
READ_ERRORS = (
    *(OSError, EOFError, KeyError, ValueError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)


class TooLarge(Exception):
    """A file has more bytes than the caller reads."""


class Unreadable(Exception):
    """One file among others cannot be read; the message says why."""


class RawFiles(Protocol):
    """Files by their names relative to the folder or archive `path`, with `/` between parts."""

    path: Path

    def names(self) -> list[str]:
        """All names in alphabetical order; hidden files and those of macOS's archiver left out."""
        ...

    def read(self, name: str, limit: int) -> bytes:
        """Content of a file.

        Raises:
            TooLarge: if it has more than `limit` bytes, of which no more are read.
            Unreadable: if it is damaged or may not be read.
        """
        ...


def open_raw(path: Path) -> RawFiles:
    """The files at `path`: an archive if its name ends in .zip, else a folder or a link to one.

    Raises:
        UserError: if there is no such thing, or an archive is damaged.
    """
    return ZipFiles(path) if path.suffix == ".zip" else FolderFiles(path)


class FolderFiles:
    """The files below a folder. Links are followed: the folder is the user's own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_dir():
            raise UserError(f"{path} is missing; put the images there, in a folder or a link to it")

    def names(self) -> list[str]:
        try:
            return sorted(self._walk("", ()))
        except OSError as error:
            raise UserError(f"{error.filename} cannot be read: {error.strerror}.") from None

    def _walk(self, folder: str, above: tuple[str, ...]) -> Iterator[str]:
        here = os.path.realpath(self.path / folder)
        if here in above:
            raise UserError(f"{self.path / folder} is a link to a folder above it; remove it.")
        with os.scandir(here) as entries:
            for entry in entries:
                if _is_hidden(entry.name):
                    continue
                name = f"{folder}{entry.name}"
                if entry.is_dir():
                    yield from self._walk(f"{name}/", (*above, here))
                elif entry.is_file() or not os.path.exists(entry.path):
                    # A link to nowhere is named as a broken image; a pipe would never end.
                    yield name

    def read(self, name: str, limit: int) -> bytes:
        try:
            with open(self.path / name, "rb") as stream:
                return _bounded(stream.read(limit + 1), limit)
        except OSError as error:
            raise Unreadable(error.strerror or str(error)) from None


class ZipFiles:
    """The files of a zip archive."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.archive = zipfile.ZipFile(path)
        except FileNotFoundError:
            raise UserError(f"{path} is missing; put the archive there, or a link to it.") from None
        except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
            raise UserError(f"{path} is no whole zip archive ({error}); copy it again.") from None

    def names(self) -> list[str]:
        found = set()
        for name in self.archive.namelist():
            parts = name.replace("\\", "/").split("/")
            if ".." in parts or not parts[0]:
                raise UserError(
                    f"{self.path} names a file outside of itself ({shown(name)}); no honest "
                    "program writes such an archive, and nothing of it was read."
                )
            if parts[-1] and not any(map(_is_hidden, parts)):
                found.add(name)
        return sorted(found)

    def read(self, name: str, limit: int) -> bytes:
        try:
            # zipfile stops at the size that the archive states, whatever the packed data hold.
            with self.archive.open(name) as stream:
                return _bounded(stream.read(limit + 1), limit)
        except READ_ERRORS as error:
            raise Unreadable(" ".join(str(error).split()) or type(error).__name__) from None


def shown(name: str) -> str:
    """A name for a message: on one line whatever is in it."""
    return name[:200] if name.isprintable() else ascii(name)[:200]


def _bounded(content: bytes, limit: int) -> bytes:
    if len(content) > limit:
        raise TooLarge(f"more than {limit} bytes")
    return content


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
