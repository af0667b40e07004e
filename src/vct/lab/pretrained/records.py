"""What the objects of a published checkpoint become: plain records and tensors.

The names in `KNOWN` are all that such a file asks for (EDM, arXiv 2206.00364, and EDM2, arXiv
2312.02696, made with the published code). Each stands for a function of this module; nothing is
imported by name.
"""

import io
import math
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pickletools import genops
from typing import Any

import numpy as np
import torch
from torch import Tensor

STORAGE_PICKLES = 5
"""torch's stored form before the numbers: magic number, version, machine, object, keys."""


class Refused(Exception):
    """The file asks for something that no such checkpoint needs; carries its name."""


class Malformed(Exception):
    """The file is no such checkpoint, or a part of it is missing."""


@dataclass(eq=False)
class Module:
    """A torch module: the name of its class and its attributes."""

    class_name: str
    state: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class Number:
    """A numpy dtype: one letter and the bytes of a number, and the byte order."""

    code: str
    order: str = "="


@dataclass(eq=False)
class Storage:
    """The numbers of a tensor, in a row."""

    numbers: torch.UntypedStorage
    dtype: torch.dtype


def shown(problem: object) -> str:
    """Text from a file: one line, of a bounded length, without control characters."""
    words = " ".join(str(problem).split())[:200]
    return "".join(letter if letter.isprintable() else "?" for letter in words)


def _mapping() -> dict[Any, Any]:
    """An empty dict for the files' kinds of it."""
    return {}


def _dtype(code: str, align: bool = False, copy: bool = True) -> Number:
    """A dtype of plain numbers."""
    if not re.fullmatch("[biuf][1248]", code):
        raise Refused(f"numpy.dtype {code[:20]!r}")
    return Number(code)


def _scalar(dtype: Number, raw: bytes) -> float | int | bool:
    """A numpy number as Python's."""
    return np.frombuffer(raw, dtype.order + dtype.code, count=1)[0].item()


def _storage(payload: bytes) -> Storage:
    """The storage of a tensor; torch reads it with its own restricted unpickler."""
    if not isinstance(payload, bytes):
        raise Malformed("the payload of a tensor is not made of bytes")
    _check_names(payload)
    try:
        with warnings.catch_warnings():
            # torch calls its own class of storages deprecated.
            warnings.simplefilter("ignore")
            loaded = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
            return Storage(loaded.untyped(), loaded.dtype)
    except Exception as error:  # a damaged payload may fail in any way
        raise Malformed(f"the payload of a tensor is damaged, {type(error).__name__}") from None


def _check_names(payload: bytes) -> None:
    """The pickles that make up a stored storage ask for its class alone."""
    stream = io.BytesIO(payload)
    for _ in range(STORAGE_PICKLES):
        texts = ["", ""]
        for instruction, argument, _ in genops(stream):
            if instruction.name in ("GLOBAL", "INST"):
                _check_class(str(argument))
            elif instruction.name == "STACK_GLOBAL":
                _check_class(" ".join(texts[-2:]))
            elif isinstance(argument, str):
                texts.append(argument)


def _check_class(name: str) -> None:
    if not re.fullmatch(r"torch \w+Storage", name):
        raise Refused(f"{name.replace(' ', '.')} (inside a tensor)")


def _tensor(
    storage: Storage,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    requires_grad: bool,
    hooks: Any,
    metadata: Any = None,
) -> Tensor:
    """A tensor that lies within its storage."""
    if not isinstance(storage, Storage) or len(size) != len(stride):
        raise Malformed("a tensor has no storage, or not one stride for each dimension")
    if min(size, default=1) < 1 or min(offset, *stride, 0) < 0:
        raise Malformed("a tensor has an odd size, stride or offset")
    known = storage.numbers.nbytes() // storage.dtype.itemsize
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if last >= known or math.prod(size) > known:
        raise Malformed("a tensor reaches beyond its storage")
    view = torch.empty(0, dtype=storage.dtype).set_(storage.numbers, offset, size, stride)
    return view.clone(memory_format=torch.contiguous_format)


def _parameter(data: Tensor, requires_grad: bool, hooks: Any) -> Tensor:
    """A parameter is a tensor."""
    return data


def _persistent(meta: dict[str, Any]) -> Module:
    """A module that came with its source code, which stays text and is dropped."""
    name, state = meta["class_name"], meta["state"]
    if meta["type"] != "class" or meta["version"] != 6:
        raise Malformed("an object is no class of version 6")
    if not isinstance(name, str) or not isinstance(state, dict):
        raise Malformed("an object has no class name, or no state")
    return Module(name, state)


def _container(name: str) -> Callable[[], Module]:
    return lambda: Module(name)


KNOWN: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _mapping,
    "dnnlib.util.EasyDict": _mapping,
    "numpy.dtype": _dtype,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch.storage._load_from_bytes": _storage,
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent,
    "torch.nn.modules.container.ModuleDict": _container("ModuleDict"),
    "torch.nn.modules.container.ModuleList": _container("ModuleList"),
    "torch.nn.modules.container.Sequential": _container("Sequential"),
}


def set_state(record: Any, state: Any) -> None:
    """What a file says about an object after making it."""
    if isinstance(record, Module) and isinstance(state, dict) and not record.state:
        record.state = state
    elif isinstance(record, Number) and isinstance(state, tuple) and state[1] in ("<", ">", "|"):
        record.order = state[1]
    else:
        raise Malformed("an object gets a state that it cannot have")
