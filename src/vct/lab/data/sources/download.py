"""Published files from the network: checked, and gone on with where a connection broke.

The only module of the project that fetches anything, called by the stages that make data sets and
extractors alone.
"""

import fcntl
import hashlib
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from functools import partial
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO

from vct.lab.errors import UserError

BLOCK = 2**20
TIMEOUT = 30
"""Seconds without a byte after which a connection counts as broken."""
NO_SUCH_RANGE = 416
PARTIAL = 206


class NotFetched(Exception):
    """A file could not be had; the message says why. What came is kept for the next try."""


def fetch(urls: Sequence[str], file: Path, checksum: str, algorithm: str = "md5") -> None:
    """Make sure that `file` is the published one; get it from the first of `urls` that has it.

    An interrupted download waits in `file` + `.part` and is gone on with. Several processes take
    turns.

    Args:
        checksum: of the published file, in hexadecimal.
        algorithm: of the checksum. Many are published as md5: enough against accidents and
            against a forged second file, for which nobody has found a way yet.

    Raises:
        NotFetched: if it is not there and cannot be had.
        UserError: if another file is there under this name, or the folder cannot be written to.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file.with_name(f".{file.name}.lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if file.exists():
                _check_given(file, checksum, algorithm)
            else:
                _download(urls, file, checksum, algorithm)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"cannot write {file}: {reason}; make room or choose a writable folder."
        ) from None


def _check_given(file: Path, checksum: str, algorithm: str) -> None:
    found = _digest(file, algorithm)
    if found != checksum:
        raise UserError(
            f"{file} is not the published file (its {algorithm} is {found}, not {checksum}); "
            "remove it and get it again."
        )


def _download(urls: Sequence[str], file: Path, checksum: str, algorithm: str) -> None:
    part = file.with_name(f"{file.name}.part")
    problems = []
    for url in urls:
        try:
            _get(url, part)
        except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
            problems.append(str(getattr(error, "reason", error)) or type(error).__name__)
            continue
        if _digest(part, algorithm) == checksum:
            part.replace(file)
            return
        part.unlink()
        problems.append("what came is not the published file")
    raise NotFetched("; ".join(dict.fromkeys(problems)))


def _get(url: str, part: Path) -> None:
    """Bring `part` to the length that the server states."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "vct"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == NO_SUCH_RANGE and have:
            return  # all of it is there already, or the checksum will say that it is not
        raise
    with response:
        going_on = response.status == PARTIAL
        total = _length(response, have if going_on else 0)
        with part.open("ab" if going_on else "wb") as stream:
            _copy(response, stream, part.name.removesuffix(".part"), total)
    if total is not None and part.stat().st_size < total:
        raise ConnectionError(f"the connection broke after {part.stat().st_size} of {total} bytes")


def _length(response: HTTPResponse, before: int) -> int | None:
    stated = response.headers.get("Content-Length", "")
    return before + int(stated) if stated.isdecimal() else None


def _copy(response: HTTPResponse, stream: BinaryIO, name: str, total: int | None) -> None:
    shown_at = time.monotonic()
    while block := _block(response):
        stream.write(block)
        if time.monotonic() - shown_at >= 10:
            shown_at = time.monotonic()
            of = f" of {total / 1e6:.0f}" if total else ""
            print(f"{name}: {stream.tell() / 1e6:.0f}{of} MB", file=sys.stderr, flush=True)


def _block(response: HTTPResponse) -> bytes:
    try:
        return response.read(BLOCK)
    except OSError as error:  # of the network, not of the disk
        raise ConnectionError(error.strerror or str(error)) from None


def _digest(file: Path, algorithm: str) -> str:
    with file.open("rb") as stream:
        make = partial(hashlib.new, algorithm, usedforsecurity=False)
        return hashlib.file_digest(stream, make).hexdigest()
