"""Which of this project's networks a published checkpoint holds, with which settings.

Settings are read off the names and shapes of the tensors and then proved: the network that they
describe must have these very tensors.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from vct.lab import build
from vct.lab.errors import UserError
from vct.lab.files.differences import mismatches
from vct.lab.pretrained.records import Module, shown
from vct.lab.settings.networks import Network, NetworkSettings

WRAPPERS = {"EDMPrecond": "model", "Precond": "unet"}
"""Class around the network, and its name in there: EDM's and EDM2's."""

UNUSED = ("map_augment.",)
"""Parts of a network that only training with EDM's augmentation uses."""

FIXED: dict[str, dict[str, float | None]] = {
    "ddpmpp": {"skip_scale": math.sqrt(0.5), "adaptive_scale": False},
    "ncsnpp": {"skip_scale": math.sqrt(0.5), "adaptive_scale": False},
    "adm": {"skip_scale": 1, "adaptive_scale": True},
    "edm2": {
        "res_balance": 0.3,
        "attn_balance": 0.3,
        "clip_act": 256,
        "label_balance": 0.5,
        "concat_balance": 0.5,
    },
}
"""Attributes of modules that our networks have built in: another value is another function."""


class Unknown(Exception):
    """The checkpoint holds something that this project has no network for."""


@dataclass(frozen=True)
class Found:
    """A network of this project with the weights of a published one.

    Args:
        network: its settings, as params.yaml takes them.
        shape: (C, H, W) of its images.
        classes: number of classes K; 0 is unconditional.
        sigma_data: standard deviation of the data that it was trained for.
        tensors: parameters and buffers by name.
        parameters: numbers in the parameters.
        left_out: names of tensors that the network has no use for.
    """

    network: dict[str, Any]
    shape: tuple[int, int, int]
    classes: int
    sigma_data: float
    tensors: dict[str, Tensor]
    parameters: int
    left_out: list[str]


def find(content: Any, path: Path) -> Found:
    """The averaged network in the records of a checkpoint.

    Raises:
        UserError: if there is none, or this project has no such network.
    """
    try:
        return _find(content)
    except Unknown as problem:
        raise UserError(f"{path} {shown(problem)}.") from None
    except (LookupError, AttributeError, TypeError, ValueError, ArithmeticError) as error:
        reason = shown(f"{type(error).__name__}: {error}")
        raise UserError(f"{path} holds no network of EDM or EDM2 ({reason}).") from None


def _find(content: Any) -> Found:
    wrapper = content.get("ema") if isinstance(content, dict) else None
    if not isinstance(wrapper, Module) or wrapper.class_name not in WRAPPERS:
        raise Unknown("has no entry 'ema' with an EDMPrecond or a Precond")
    module = wrapper.state["_modules"][WRAPPERS[wrapper.class_name]]
    modules = list(_walk(module, set()))
    everything = {name: value for prefix, part in modules for name, value in _own(prefix, part)}
    tensors = {name: value for name, value in everything.items() if not name.startswith(UNUSED)}
    kind = _kind(module.class_name, tensors)
    _check_fixed(kind, modules)
    network, shape, classes = _settings(kind, tensors)
    network["dropout"] = _dropout(modules)
    sigma_data = float(wrapper.state["sigma_data"])
    if not 0 < sigma_data < math.inf:
        raise Unknown(f"has sigma_data {sigma_data}")
    left_out = sorted(everything.keys() - tensors.keys())
    parameters = _prove(network, shape, classes, tensors)
    return Found(network, shape, classes, sigma_data, tensors, parameters, left_out)


def _walk(module: Module, seen: set[int], prefix: str = "") -> Iterator[tuple[str, Module]]:
    """All modules by their names; each stands in one place, and none deeper than published."""
    if not isinstance(module, Module) or id(module) in seen or prefix.count(".") > 8:
        raise Unknown("holds modules that are no tree")
    seen.add(id(module))
    yield prefix, module
    for name, child in module.state["_modules"].items():
        if child is not None:
            yield from _walk(child, seen, f"{prefix}{name}.")


def _own(prefix: str, module: Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers of one module."""
    passing = module.state.get("_non_persistent_buffers_set", set())
    for kind in ("_parameters", "_buffers"):
        for name, value in module.state[kind].items():
            if value is not None and name not in passing:
                if not isinstance(value, Tensor) or not value.is_floating_point():
                    raise Unknown(f"holds no numbers in {prefix}{name}")
                yield f"{prefix}{name}", value


def _kind(class_name: str, tensors: dict[str, Tensor]) -> str:
    if class_name == "SongUNet":
        return "ncsnpp" if "map_noise.freqs" in tensors else "ddpmpp"
    kinds = {"DhariwalUNet": "adm", "UNet": "edm2"}
    if class_name not in kinds:
        raise Unknown(f"holds a {class_name[:80]}, but SongUNet, DhariwalUNet and UNet are known")
    return kinds[class_name]


def _check_fixed(kind: str, modules: list[tuple[str, Module]]) -> None:
    for prefix, module in modules:
        for key, value in FIXED[kind].items():
            given = module.state.get(key, value)
            if given is None or not math.isclose(given, float(value or 0), rel_tol=1e-6):
                raise Unknown(f"has {key} {given} in {prefix or 'its network'}; we have {value}")


def _settings(
    kind: str, tensors: dict[str, Tensor]
) -> tuple[dict[str, Any], tuple[int, int, int], int]:
    """Settings, shape of an image, and number of classes."""
    edm2 = kind == "edm2"
    last, qkv = ("conv_res1", "attn_qkv") if edm2 else ("conv1", "qkv")
    blocks = [re.match(r"enc\.(\d+)x\1_block(\d+)\.", name) for name in tensors]
    places = {(int(match[1]), int(match[2])) for match in blocks if match}
    sizes = sorted({size for size, _ in places}, reverse=True)
    widths = [len(tensors[f"enc.{size}x{size}_block0.{last}.weight"]) for size in sizes]
    channels = {
        "ddpmpp": lambda: len(tensors["map_layer0.weight"]) // 4,
        "ncsnpp": lambda: len(tensors["map_layer0.weight"]) // 4,
        "adm": lambda: tensors["map_layer0.weight"].shape[1],
        "edm2": lambda: math.gcd(*widths),
    }[kind]()
    network = {
        "kind": kind,
        "channels": channels,
        "mult": [width // channels for width in widths],
        "blocks": len(places) // len(sizes),
        "attention": [
            size for size in sizes if f"enc.{size}x{size}_block0.{qkv}.weight" in tensors
        ],
    }
    first = tensors[f"enc.{sizes[0]}x{sizes[0]}_conv.weight"]
    shape = (first.shape[1] - edm2, sizes[0], sizes[0])
    label = tensors.get("emb_label.weight" if edm2 else "map_label.weight")
    return network, shape, 0 if label is None else label.shape[1]


def _dropout(modules: list[tuple[str, Module]]) -> float:
    """The probability with which the network was trained."""
    return float(max(module.state.get("dropout", 0.0) for _, module in modules))


def _prove(
    network: dict[str, Any], shape: tuple[int, int, int], classes: int, tensors: dict[str, Tensor]
) -> int:
    """The network of these settings has these tensors; return its number of parameters."""
    try:
        settings: NetworkSettings = TypeAdapter(Network).validate_python(network)
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"{first['loc'][-1]} {first['input']!r:.50}"
        raise Unknown(f"holds a network with an impossible setting, {problem}") from None
    with torch.device("meta"):
        ours = build.instantiate(settings, shape=shape, outputs=shape[0], classes=classes)
    differing = mismatches(tensors, ours.state_dict())
    if differing:
        raise Unknown(f"holds a {network['kind']} network of another kind: {differing}")
    return sum(parameter.numel() for parameter in ours.parameters())
