"""One file for the weights of a published network: tensors, where they came from, their hash."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from vct.lab.errors import UserError
from vct.lab.files.tensors import save_tensors
from vct.lab.files.whole import file_sha256

FORMAT = "vct-published-1"


@dataclass(frozen=True)
class Published:
    """Weights as somebody published them.

    Attributes:
        source: name of the published file.
        source_sha256: its hash.
        tensors: by the names that the network has for them.
    """

    source: str
    source_sha256: str
    tensors: dict[str, Tensor]


def read_published(file: Path, sha256: str) -> Published:
    """Read a file of `torch.save`, without running what may stand in it.

    Raises:
        UserError: if it is missing, or not the published file.
    """
    found = file_sha256(file)
    if found != sha256:
        raise UserError(
            f"{file} is not the published file (its sha256 is {found}, not {sha256}); remove it "
            "and get it again."
        )
    return Published(file.name, sha256, torch.load(file, map_location="cpu", weights_only=True))


def save_published(path: Path, kind: str, published: Published) -> None:
    """Write weights for the extractor of a kind; equal weights give equal bytes.

    Raises:
        UserError: if the file cannot be written.
    """
    tensors = {name: tensor.contiguous() for name, tensor in published.tensors.items()}
    description = {
        "format": FORMAT,
        "kind": kind,
        "source": published.source,
        "source_sha256": published.source_sha256,
        "sha256": tensors_sha256(tensors),
    }
    # One key alone: safetensors writes several in an order that changes from run to run.
    save_tensors(path, tensors, {"published": json.dumps(description)})


def load_published(path: Path, kind: str) -> Published:
    """Read what `save_published` wrote for this kind.

    Raises:
        UserError: if the file is missing, damaged, or of another kind.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing; make it with: vct extractor {path.parent.name}")
    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {})["published"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        source, source_sha256 = str(description["source"]), str(description["source_sha256"])
        if (description["format"], description["kind"]) != (FORMAT, kind):
            raise ValueError("it is of another kind")
        if description["sha256"] != tensors_sha256(tensors):
            raise ValueError("its weights are not those that were saved")
    except Exception as error:  # a description may be wrong in any way
        raise UserError(
            f"{path} is not a whole file of the extractor '{kind}' ({error}); make it again: "
            f"vct extractor {path.parent.name}"
        ) from error
    return Published(source, source_sha256, tensors)


def tensors_sha256(tensors: dict[str, Tensor]) -> str:
    """Hash of names, types, shapes and values: safetensors itself checks only the lengths."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
