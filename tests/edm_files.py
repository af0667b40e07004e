"""Files of the layout of published EDM and EDM2 checkpoints, honest ones.

They are pickled by Python from objects whose classes carry the published names. Nothing of these
can be rebuilt: the function that a file names for it fails.
"""

import pickle
import sys
import types
from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

SOURCE = "open('marker', 'w').close()\nclass SongUNet:\n    def __setstate__(self, state): 1 / 0\n"
BUFFERS = ("freqs", "phases", "resample_filter")
BLOCKS = {
    "SongUNet": {"skip_scale": np.sqrt(0.5), "adaptive_scale": False, "dropout": 0.13},
    "DhariwalUNet": {"skip_scale": 1, "adaptive_scale": True, "dropout": 0.1},
    "UNet": {"res_balance": 0.3, "attn_balance": 0.3, "clip_act": 256, "dropout": 0.0},
}


def _reconstruct_persistent_obj(meta: Any) -> Any:
    raise AssertionError("the file was run")


class EasyDict(dict):
    """Stands for dnnlib's dict."""


class Persistent:
    """An object that is pickled with its source code."""

    def __init__(self, class_name: str, state: dict[str, Any], **changes: Any) -> None:
        meta = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": class_name}
        self.meta = {**meta, "state": state, **changes}

    def __reduce__(self) -> Any:
        return _reconstruct_persistent_obj, (self.meta,)


_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
EasyDict.__module__ = "dnnlib.util"


def dumps(content: Any, protocol: int = 4) -> bytes:
    """Pickle with the published names in place."""
    named = {
        "torch_utils.persistence": {"_reconstruct_persistent_obj": _reconstruct_persistent_obj},
        "dnnlib.util": {"EasyDict": EasyDict},
    }
    for name, members in named.items():
        for part in (name.split(".")[0], name):
            sys.modules[part] = types.ModuleType(part)
        vars(sys.modules[name]).update(members)
    try:
        return pickle.dumps(content, protocol)
    finally:
        for name in named:
            del sys.modules[name], sys.modules[name.split(".")[0]]


def state(tensors: dict[str, Tensor], modules: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """The `__dict__` of a module with its own tensors and children."""
    parameters = {
        name: nn.Parameter(value) for name, value in tensors.items() if name not in BUFFERS
    }
    buffers = {name: value for name, value in tensors.items() if name in BUFFERS}
    return {
        "training": False,
        "_parameters": OrderedDict(parameters),
        "_buffers": OrderedDict(buffers, absent=None),
        "_non_persistent_buffers_set": set(),
        "_backward_hooks": OrderedDict(),
        "_modules": OrderedDict(modules),
        "_init_args": (),
        "_init_kwargs": EasyDict(init_weight=np.float64(0.5), attn_resolutions=[16]),
        **settings,
    }


def network(class_name: str, tensors: dict[str, Tensor], **settings: Any) -> Persistent:
    """A module from tensors called `child.grandchild.name`; `enc` and `dec` are ModuleDicts."""
    own, children = _split(tensors)
    modules: dict[str, Any] = {"absent": None}
    for name, part in children.items():
        if name in ("enc", "dec"):
            container = nn.ModuleDict()
            container._modules = OrderedDict(
                (key, _module(entry, {**BLOCKS.get(class_name, {}), **settings}))
                for key, entry in _split(part)[1].items()
            )
            modules[name] = container
        else:
            modules[name] = _module(part, {})
    return Persistent(class_name, state(own, modules))


def _module(tensors: dict[str, Tensor], settings: dict[str, Any]) -> Persistent:
    own, children = _split(tensors)
    modules = {name: _module(part, {}) for name, part in children.items()}
    return Persistent("Layer", state(own, modules, **settings))


def _split(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]]]:
    """Own tensors, and those of each child."""
    own: dict[str, Tensor] = {}
    children: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        first, _, rest = name.partition(".")
        if rest:
            children.setdefault(first, {})[rest] = value
        else:
            own[name] = value
    return own, children


def checkpoint(inner: Any, edm2: bool = False) -> dict[str, Any]:
    """The top of a file around a network."""
    modules = {"unet" if edm2 else "model": inner}
    if edm2:
        modules["logvar_linear"] = Persistent("MPConv", state({"weight": torch.ones(1, 128)}, {}))
    settings = {"img_resolution": 16, "img_channels": 3, "label_dim": 0, "sigma_data": 0.5}
    wrapper = Persistent("Precond" if edm2 else "EDMPrecond", state({}, modules, **settings))
    return {"ema": wrapper, "dataset_kwargs": EasyDict(path="data.zip", max_size=50_000)}
