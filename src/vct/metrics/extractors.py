"""What a Fréchet distance needs to know of a feature extractor, and where each kind is found.

A new kind is one file with a function from the file of its weights to an `Extractor`, and one line
in `KINDS`.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from vct import registry
from vct.errors import UserError
from vct.files import file_sha256

__all__ = ["KINDS", "Extractor", "file_sha256", "find_extractor"]

KINDS = {
    "classifier": "vct.metrics.classifier:classifier_extractor",
}


@dataclass(frozen=True)
class Extractor:
    """A feature extractor with fixed weights.

    Attributes:
        name: its kind, such as "classifier"; distances of different kinds are never compared.
        sha256: hash of the file of its weights.
        features: number D of features.
        shape: the (C, H, W) of the images that it takes. None: RGB images of any size; grey
            images are repeated to three channels for it.
        build: makes the network: a module in evaluation mode that maps uint8 images (B, C, H, W)
            to (B, D) features. Statistics are as precise as the features' type: torch-fidelity
            averages in it.
    """

    name: str
    sha256: str
    features: int
    shape: tuple[int, int, int] | None
    build: Callable[[], nn.Module]


def find_extractor(kind: str, weights: Path) -> Extractor:
    """The extractor of this kind with the weights of a file.

    Raises:
        UserError: if the kind is unknown, or the file is missing, damaged or of another kind.
    """
    if kind not in KINDS:
        raise UserError(registry.unknown("extractor", kind, KINDS))
    module, function = KINDS[kind].split(":")
    extractor: Extractor = getattr(importlib.import_module(module), function)(weights)
    return extractor
