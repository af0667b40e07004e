"""Downloads by other libraries: one process at a time, and none that waits for ever.

Called by the stages that make data sets and extractors alone; nothing else fetches anything.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

from vct.lab.files.locks import locked

PATIENCE = 30.0
"""Seconds without a byte after which a connection counts as broken."""
FAILURES = (OSError, HTTPException, RuntimeError)
"""What torch's and torchvision's downloads raise."""


class NotFetched(Exception):
    """A file could not be had; the message says why."""


@contextmanager
def downloading(folder: Path) -> Iterator[None]:
    """Be the only process that fetches files into `folder`.

    Raises:
        UserError: if the folder cannot be written to.
    """
    with locked(folder / ".lock"):
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(PATIENCE)
        try:
            yield
        finally:
            socket.setdefaulttimeout(before)


def fetch(url: str, file: Path, sha256: str) -> None:
    """Get `file` from `url`, if it is not there; whose content is there is the caller's to check.

    Raises:
        NotFetched: if it cannot be had, or is not the one of that hash.
        UserError: if the folder cannot be written to.
    """
    import torch

    with downloading(file.parent):
        if not file.exists():
            try:
                torch.hub.download_url_to_file(url, str(file), hash_prefix=sha256)
            except FAILURES as error:
                raise NotFetched(str(error)) from None
