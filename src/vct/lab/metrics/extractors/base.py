"""What a distance between sets of images needs to know of a feature extractor, and where each kind
is found.

A new kind is one file with a function from the file of its weights to an `Extractor`, and one line
in `KINDS`; one whose weights are published, a function that finds them, and a line in `PUBLISHED`.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from vct.lab.errors import UserError
from vct.lab.files.whole import file_sha256
from vct.lab.metrics.extractors.published import Published
from vct.lab.settings import registry

__all__ = ["KINDS", "PUBLISHED", "Extractor", "file_sha256", "find_extractor", "find_published"]

KINDS = {
    "classifier": "vct.lab.metrics.extractors.classifier:classifier_extractor",
    "inception": "vct.lab.metrics.extractors.inception:inception_extractor",
    "efficientnet-lite0": "vct.lab.metrics.extractors.efficientnet:efficientnet_extractor",
}

PUBLISHED = {
    "inception": "vct.lab.metrics.extractors.inception:published_weights",
    "efficientnet-lite0": "vct.lab.metrics.extractors.efficientnet:published_weights",
}
"""Kinds that are not trained here."""


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
            to (B, D) features, or (B, D + K) with `logits`. Statistics are as precise as the
            features' type: torch-fidelity averages in it.
        logits: number K of logits that follow the features, for an Inception Score.
        on_cpu: whether it is small enough for a CPU, where its numbers do not depend on whether
            a machine has a GPU.
        source: what its published weights came from: the file's name and its sha256.
    """

    name: str
    sha256: str
    features: int
    shape: tuple[int, int, int] | None
    build: Callable[[], nn.Module]
    logits: int = 0
    on_cpu: bool = False
    source: tuple[str, str] | None = None

    def record(self, name: str) -> dict[str, Any]:
        """What protocol.json says of the extractor called `name` in params.yaml."""
        published = dict(zip(("source", "source_sha256"), self.source or (), strict=False))
        own = {"kind": self.name, "sha256": self.sha256, "features": self.features}
        return {"name": name, **own, **published}


def find_extractor(kind: str, weights: Path) -> Extractor:
    """The extractor of this kind with the weights of a file.

    Raises:
        UserError: if the kind is unknown, or the file is missing, damaged or of another kind.
    """
    extractor: Extractor = _find(kind, KINDS)(weights)
    return extractor


def find_published(settings: Any) -> Published:
    """The published weights of an extractor, from its settings.

    Raises:
        UserError: if they are not at hand, or not the published ones.
    """
    published: Published = _find(settings.kind, PUBLISHED)(settings)
    return published


def _find(kind: str, known: dict[str, str]) -> Callable[..., Any]:
    if kind not in known:
        raise UserError(registry.unknown("extractor", kind, known))
    module, function = known[kind].split(":")
    return getattr(importlib.import_module(module), function)
