"""The files of a folder or of a zip archive, listed and read alike.

An archive is read where it is: nothing of it is ever written to disk, so a hostile name in it has
nowhere to go.
"""

import lzma
import os
import zipfile
import zlib
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

from vct.lab.errors import UserError

# What Python's unpackers raise on damaged, encrypted or oddly packed data.
READ_ERRORS = (
    *(OSError, EOFError, KeyError, ValueError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)


LITTER = frozenset(
    name.lower()
    for name in (
        *("__MACOSX", "Icon\r", "Network Trash Folder", "Temporary Items"),  # macOS
        *("Thumbs.db", "ehthumbs.db", "desktop.ini"),  # Windows
        *("System Volume Information", "$RECYCLE.BIN", "RECYCLER", "Recycled"),
        *("@eaDir", "#recycle", "#snapshot", "@Recycle", "@Recently-Snapshot", "lost+found"),
        *("__pycache__", "CVS"),
    )
)
"""What operating systems, file servers and tools leave beside a user's files."""


class TooLarge(Exception):
    """A file has more bytes than the caller reads."""


class Unreadable(Exception):
    """One file among others cannot be read; the message says why."""


class Listing(NamedTuple):
    """What lies in a folder or an archive, in alphabetical order.

    Args:
        names: of the files, relative to it.
        folders: of all folders.
        ignored: hidden files and folders, what others leave there (`LITTER`), and what is no file,
            such as a pipe; folders end in `/`, and nothing in them is looked at.
    """

    names: list[str]
    folders: list[str]
    ignored: list[str]


class RawFiles(Protocol):
    """Files by their names relative to the folder or archive `path`, with `/` between parts."""

    path: Path

    @property
    def listing(self) -> Listing:
        """What is there."""
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

    @cached_property
    def listing(self) -> Listing:
        found = Listing([], [], [])
        try:
            self._walk("", (), found)
        except OSError as error:
            raise UserError(f"{error.filename} cannot be read: {error.strerror}.") from None
        return Listing(*map(sorted, found))

    def _walk(self, folder: str, above: tuple[str, ...], found: Listing) -> None:
        here = os.path.realpath(self.path / folder)
        if here in above:
            raise UserError(f"{self.path / folder} is a link to a folder above it; remove it.")
        with os.scandir(here) as entries:
            for entry in entries:
                name = f"{folder}{entry.name}"
                if _is_ignored(entry.name):
                    found.ignored.append(f"{name}/" if entry.is_dir() else name)
                elif entry.is_dir():
                    found.folders.append(name)
                    self._walk(f"{name}/", (*above, here), found)
                elif entry.is_file() or not os.path.exists(entry.path):
                    found.names.append(name)  # a link to nowhere is named as a broken image
                else:
                    found.ignored.append(name)  # reading a pipe would never end

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

    @property
    def listing(self) -> Listing:
        return self._listed[0]

    @cached_property
    def _listed(self) -> tuple[Listing, dict[str, zipfile.ZipInfo]]:
        """What is there, and where each file is in the archive."""
        members: dict[str, zipfile.ZipInfo] = {}
        folders, ignored = set[str](), set[str]()
        for member in self.archive.infolist():
            parts, is_folder = self._parts(member.filename)
            depth = next((at for at, part in enumerate(parts) if _is_ignored(part)), None)
            if depth is not None:
                whole = depth == len(parts) - 1 and not is_folder
                ignored.add("/".join(parts[: depth + 1]) + ("" if whole else "/"))
                continue
            inner = parts if is_folder else parts[:-1]
            folders.update("/".join(inner[:end]) for end in range(1, len(inner) + 1))
            if not is_folder:
                self._add(members, "/".join(parts), member)
        return Listing(sorted(members), sorted(folders), sorted(ignored)), members

    def _parts(self, name: str) -> tuple[list[str], bool]:
        """Folders and file of a name, and whether it is that of a folder; it may begin with `./`,
        and some archivers of Windows write backslashes."""
        parts = name.replace("\\", "/").split("/")
        if ".." in parts or not parts[0]:
            raise UserError(
                f"{self.path} names a file outside of itself ({shown(name)}); no honest program "
                "writes such an archive, and nothing of it was read."
            )
        return [part for part in parts if part not in ("", ".")], parts[-1] in ("", ".")

    def _add(self, members: dict[str, zipfile.ZipInfo], name: str, member: zipfile.ZipInfo) -> None:
        other = members.setdefault(name, member)
        if (other.CRC, other.file_size) != (member.CRC, member.file_size):
            raise UserError(
                f"{self.path} holds {shown(name)} twice, with different content; pack it again "
                "with the right one alone."
            )

    def read(self, name: str, limit: int) -> bytes:
        try:
            # zipfile stops at the size that the archive states, whatever the packed data hold.
            with self.archive.open(self._listed[1].get(name, name)) as stream:
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


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in LITTER
