"""Tensors in safetensors files: plain, sealed by a hash of their values, merged."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
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
    """Write `tensors` to `path`, a temporary file of `atomic`; a full disk is an OSError. What
    shares memory, as tied weights do, is written under each of its names."""
    places, apart = set[int](), dict[str, Tensor]()
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if place in places else tensor
        places.add(place)
    try:
        save_file(apart, path, metadata)
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
        # As bytes: numpy does not know every type of torch.
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def merge_tensors(parts: Iterable[tuple[str, Path]], path: Path) -> None:
    """Write the tensors of all files `parts`, (prefix, file), to `path` as `<prefix>/<name>`.

    None of them is held in memory.

    The layout is that of safetensors: the length of the header (8 bytes, little-endian), a JSON
    header with the place of each tensor, and their bytes, which are copied as they are.
    """
    parts = list(parts)
    header: dict[str, Any] = {}
    base = 0
    for prefix, part in parts:
        entries, start = _header(part)
        for name, entry in entries.items():
            begin, end = entry["data_offsets"]
            header[f"{prefix}/{name}"] = {**entry, "data_offsets": [base + begin, base + end]}
        base += part.stat().st_size - start
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with atomic(path) as temporary, temporary.open("wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for _, part in parts:
            with part.open("rb") as file:
                file.seek(_header(part)[1])
                shutil.copyfileobj(file, out, 1 << 20)


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """Entries of the tensors, and where their bytes begin."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entries = json.loads(file.read(length))
    entries.pop("__metadata__", None)
    return entries, 8 + length
