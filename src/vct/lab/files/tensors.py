"""Tensors in safetensors files, plain or sealed by a hash of their values."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vct.lab.errors import UserError
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


def save_sealed(
    path: Path, key: str, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Write `tensors` with JSON `facts` and their hash; equal content gives equal bytes.

    Args:
        key: what kind of file this is.

    Raises:
        UserError: if the folder cannot be written to, or the disk is full.
    """
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    # One key alone: safetensors writes several in an order that changes from run to run.
    save_tensors(path, whole, {key: json.dumps({**facts, "sha256": tensors_sha256(whole)})})


def load_sealed(path: Path, key: str, command: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The facts and tensors that `save_sealed` wrote.

    Args:
        command: what makes the file.

    Raises:
        UserError: if it is missing, damaged, or of another kind.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing; make it with: {command}")
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})[key])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if facts.pop("sha256") != tensors_sha256(tensors):
            raise ValueError("its hash is another")
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} is damaged ({error}); make it again: {command}") from None
    return facts, tensors


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Hash of names, types, shapes and values: safetensors itself checks only the lengths."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().view(-1).numpy().data)
    return digest.hexdigest()
