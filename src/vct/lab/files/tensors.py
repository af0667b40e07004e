"""Writing tensors to a safetensors file."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from vct.lab.files.whole import atomic


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write `tensors` to `path` atomically.

    Raises:
        UserError: if the folder cannot be written to, or the disk is full.
    """
    with atomic(path) as temporary:
        write_tensors(temporary, tensors, metadata)


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write `tensors` to `path`, a temporary file of `atomic`; a full disk is an OSError."""
    try:
        save_file(dict(tensors), path, metadata)
    except SafetensorError as error:
        raise OSError(str(error)) from None
