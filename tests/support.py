"""What several tests share: small settings, data in memory, and plain stand-ins."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional

from vct.couplings.base import PairingContext
from vct.kernels import Kernel, LinearInterpolation, VarianceExploding
from vct.lab.data.dataset import Dataset
from vct.lab.data.sources.base import Split
from vct.lab.records import DatasetRecord
from vct.lab.settings.run import RunSettings
from vct.rng import Draw

ROOT = Path(__file__).resolve().parent.parent
KERNELS = {"ve": VarianceExploding(80.0), "li": LinearInterpolation(80.0)}


class Fading(Kernel):
    """A kernel of a user's, whose paths are curved: x_t = exp(-4 t/T) x + t z."""

    def data_scale(self, t: Tensor) -> Tensor:
        return torch.exp(-4 * t / self.t_max)

    def boundary_scale(self, t: Tensor, t_min: float) -> Tensor:
        return self.data_scale(t - t_min)


ALL_KERNELS = {**KERNELS, "own": Fading(80.0)}

MLP = {"kind": "mlp", "width": 8, "depth": 2}
UNET = {"kind": "ddpmpp", "channels": 8, "mult": [1, 2], "blocks": 1, "attention": [4]}
COUPLINGS: dict[str, dict[str, Any]] = {
    "independent": {"kind": "independent"},
    "ot": {"kind": "ot"},
    "variational": {"kind": "variational", "kl_weight": 3.0, "encoder": MLP},
    "sinkhorn": {"kind": "sinkhorn", "entropy": 1.0, "iterations": 10},
    "gc": {
        "kind": "generator_augmented",
        "base": {"kind": "variational", "kl_weight": 3.0, "encoder": MLP},
    },
}

PARAMS: dict[str, Any] = {
    "datasets": {
        "points": {"source": "mixture", "train": 64, "test": 32},
        "images": {"source": "digits", "test": 500},
    },
    "extractors": {"judge": {"kind": "classifier", "dataset": "images", "epochs": 1}},
    "experiments": {
        "small": {
            "train": {
                "dataset": "points",
                "kernel": "ve",
                "objective": {"kind": "ict", "s0": 2, "s1": 8},
                "network": MLP,
                "optimizer": {"kind": "adam", "learning_rate": 1e-3},
                "ema": {"decay": 0.9},
                "batch_size": 8,
                "steps": 20,
                "snapshots": 2,
            },
            "variants": ["independent", "variational"],
            "couplings": {
                "independent": {},
                "ot": {},
                "variational": {"kl_weight": 10, "encoder": MLP},
            },
            "seeds": [0, 1],
            "sample": {"num_samples": 16, "mid_times": [2.0, 0.5]},
            "score": {"metric": "wasserstein"},
        },
        "pictures": {
            "train": {
                "dataset": "images",
                "kernel": "li",
                "objective": {"kind": "ecm"},
                "network": UNET,
                "batch_size": 8,
                "steps": 20,
            },
            "variants": ["ot"],
            "couplings": {"ot": {}},
            "seeds": [3],
            "sample": {"num_samples": 16},
            "score": {"metric": "fid", "extractor": "judge"},
        },
    },
    "suites": {"cpu": ["small", "pictures"], "one": ["small"]},
    "runtime": {"threads": 1},
}


def params(changes: dict[str, Any] | None = None, drop: str | None = None) -> dict[str, Any]:
    """A small params.yaml with `changes` at dotted keys, and without the key `drop`."""
    content = plain(PARAMS)
    for key, value in (changes or {}).items():
        *path, last = key.split(".")
        section(content, path)[last] = value
    if drop:
        *path, last = drop.split(".")
        del section(content, path)[last]
    return content


def section(content: Any, path: list[str]) -> Any:
    for part in path:
        content = content[part]
    return content


def plain(value: Any) -> Any:
    """A copy in which nothing is shared (YAML's aliases are the same object)."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    return copy.deepcopy(value)


def real_params() -> dict[str, Any]:
    """The project's own params.yaml."""
    return plain(yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8")))


def run_settings(coupling: str | dict[str, Any] = "independent", **train: Any) -> RunSettings:
    """Settings of a tiny run; `train` replaces keys of the train section."""
    chosen = COUPLINGS[coupling] if isinstance(coupling, str) else coupling
    base = {**PARAMS["experiments"]["small"]["train"], **train}
    return RunSettings.model_validate({"train": base, "coupling": chosen})


def dataset(shape: tuple[int, int, int] = (2, 1, 1), size: int = 37, classes: int = 3) -> Dataset:
    """Random points (H = 1) or images in memory."""
    draw = np.random.default_rng(5)
    points = shape[1] == 1

    def split(count: int) -> Split:
        x = draw.normal(size=(count, *shape)).astype(np.float32) / 2
        if not points:
            x = draw.integers(0, 256, (count, *shape), dtype=np.uint8)
        return Split(x, draw.integers(0, classes, count))

    meta = DatasetRecord(
        format=1,
        name="random",
        source={},
        sha256="0" * 64,
        train=size,
        test=9,
        shape=list(shape),
        dtype="float32" if points else "uint8",
        classes=classes,
    )
    return Dataset("random", split(size), split(9), meta)


def randomise(module: nn.Module, scale: float = 0.3) -> nn.Module:
    """Give every parameter a size that matters; many start at zero."""
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return module


class TinyNetwork(nn.Module):
    """F(x, c) = conv3x3(silu(x + c b), w): the network of the golden losses."""

    def __init__(self, weight: np.ndarray, bias: np.ndarray) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.from_numpy(weight.copy()))
        self.b = nn.Parameter(torch.from_numpy(bias.copy()))

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor | None = None) -> Tensor:
        shifted = x + c_noise[:, None, None, None] * self.b[None, :, None, None]
        return functional.conv2d(functional.silu(shifted), self.w, padding=1)


def tiny_network(channels: int = 2) -> TinyNetwork:
    """A TinyNetwork with random weights."""
    draw = np.random.default_rng(2)
    weight = draw.normal(size=(channels, channels, 3, 3)).astype(np.float32)
    return TinyNetwork(weight, draw.normal(size=channels).astype(np.float32))


def pairing(size=5, t=1.0, r=0.5, kernel="ve", **more) -> PairingContext:
    """A context for pairs: noise levels, kernel, and a draw of its own."""
    given = {"averaged": None, "draw": Draw(0, 0), **more}
    return PairingContext(torch.full((size,), t), torch.full((size,), r), KERNELS[kernel], **given)
