"""The Fréchet distance between two sets of images, computed by torch-fidelity."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from vct.errors import UserError
from vct.metrics.extractors import Extractor
from vct.metrics.statistics_cache import DIGITS, StatisticsCache, entry_name

LAYER = "features"
# Not a setting: the last bits of the features may depend on it.
BATCH_SIZE = 64


def frechet_distance(
    samples: NDArray[np.uint8],
    reference: NDArray[np.uint8],
    extractor: Extractor,
    cache_root: Path | None = None,
    sample_key: str | None = None,
    reference_key: str | None = None,
    device: str = "cpu",
) -> float:
    """Fréchet distance between Gaussians fitted to the features of two sets of images,

        |mu1 - mu2|² + tr(S1 + S2 - 2 (S1 S2)^½)        (Heusel et al., arXiv 1706.08500)

    The covariances are singular when a set has fewer images than there are features; the distance
    is then defined but biased upwards, as it is, less, for every finite number of samples: compare
    only distances with equal numbers.

    Args:
        samples: uint8 (N, C, H, W), N at least 2.
        reference: uint8 (M, C, H, W), M at least 2.
        extractor: gives the features.
        cache_root: folder for statistics of sets that have a key; None caches nothing.
        sample_key: a readable word for the file of the samples' statistics; None does not cache
            them. The content's hash is added, so a key may be reused for other images.
        reference_key: the same for the reference.
        device: "cpu" or "cuda".

    Returns:
        The distance, at least 0.

    Raises:
        UserError: if the images cannot be compared, or not by this extractor; if the cache cannot
            be written; if there is no such device.
    """
    _check(samples, "samples")
    _check(reference, "reference images")
    _check_fit(samples, reference, extractor)
    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise UserError(f"device '{device}' cannot be used here; choose cpu, or cuda with a GPU.")
    keys = (sample_key, reference_key) if cache_root is not None else (None, None)
    sets = (samples, reference)
    names = [
        None if key is None else entry_name(images, key, device)
        for images, key in zip(sets, keys, strict=True)
    ]
    inputs = [_Images(images, extractor) for images in sets]
    with _registered(extractor) as registered:
        options = dict(feature_extractor=registered, cuda=device == "cuda")
        if cache_root is None:
            return _calculate(inputs, names, options, nullcontext())
        cache = StatisticsCache(cache_root, registered, LAYER, extractor.features)
        options["cache_root"] = str(cache_root)
        filling = cache.filling([name for name in names if name is not None])
        return _calculate(inputs, names, options, filling)


def _calculate(
    inputs: list["_Images"], names: list[str | None], options: dict[str, Any], cache: Any
) -> float:
    from torch_fidelity import KEY_METRIC_FID, calculate_metrics

    with cache:
        metrics = calculate_metrics(
            input1=inputs[0],
            input2=inputs[1],
            input1_cache_name=names[0],
            input2_cache_name=names[1],
            fid=True,
            cache=any(name is not None for name in names),
            batch_size=BATCH_SIZE,
            save_cpu_ram=True,  # which for this metric means: no worker processes
            datasets_download=False,
            verbose=False,
            **options,
        )
    # Rounding takes the distance of equal sets a little below 0.
    return max(0.0, float(metrics[KEY_METRIC_FID]))


class _Images(Dataset[Tensor]):
    """uint8 images as torch-fidelity takes them; grey is repeated for an RGB extractor."""

    def __init__(self, images: NDArray[np.uint8], extractor: Extractor) -> None:
        self.images = images
        self.repeat = 3 if extractor.shape is None and images.shape[1] == 1 else 1

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return torch.tensor(self.images[index]).repeat(self.repeat, 1, 1)


@contextmanager
def _registered(extractor: Extractor) -> Iterator[str]:
    """Name of the extractor in torch-fidelity's registry, where it stays no longer than needed.

    torch-fidelity's caches know an extractor by this name alone, so it holds the weights' hash.
    """
    from torch_fidelity import FeatureExtractorBase, register_feature_extractor
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    class Registered(FeatureExtractorBase):  # type: ignore[misc]
        def __init__(self, name: str, features_list: list[str], **_: Any) -> None:
            super().__init__(name, features_list)
            self.network = extractor.build()

        @staticmethod
        def get_provided_features_list() -> tuple[str]:
            return (LAYER,)

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return LAYER

        @staticmethod
        def can_be_compiled() -> bool:
            return False

        def forward(self, images: Tensor) -> tuple[Tensor]:
            return (self.network(images),)

    name = f"{extractor.name}-{extractor.sha256[:DIGITS]}"
    register_feature_extractor(name, Registered)
    try:
        yield name
    finally:
        del FEATURE_EXTRACTORS_REGISTRY[name]


def _check(images: NDArray[np.uint8], what: str) -> None:
    if images.ndim != 4 or images.dtype != np.uint8:
        raise UserError(
            f"the {what} are {images.dtype} of shape {images.shape}; a Fréchet distance needs "
            "8-bit images (count, channels, height, width)."
        )
    if len(images) < 2:
        raise UserError(
            f"there are {len(images)} {what}; a Fréchet distance needs two or more, and some "
            "hundreds to mean anything."
        )


def _check_fit(
    samples: NDArray[np.uint8], reference: NDArray[np.uint8], extractor: Extractor
) -> None:
    shape = samples.shape[1:]
    if shape != reference.shape[1:]:
        raise UserError(
            f"the samples have shape {shape} and the reference images {reference.shape[1:]}; "
            "score samples against the data set that their model was trained on."
        )
    if extractor.shape is None and shape[0] not in (1, 3):
        raise UserError(
            f"the images have {shape[0]} channels; the extractor '{extractor.name}' takes grey "
            "or RGB images."
        )
    if extractor.shape not in (None, shape):
        raise UserError(
            f"the extractor '{extractor.name}' takes images of shape {extractor.shape}, not "
            f"{shape}; choose the one that was trained on this data set."
        )
