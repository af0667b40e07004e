"""What is known of reference images in the features of an extractor, made once for all runs.

The moments of D features take 8 D² bytes (34 MB for an Inception). The features themselves are
needed only where images are compared one by one, and take N D numbers: 50,000 images in 2,048
features of 4 bytes are 400 MB.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vct.lab import versions
from vct.lab.data.dataset import Dataset
from vct.lab.errors import UserError
from vct.lab.files.layout import Statistic, StatisticsId
from vct.lab.files.tensors import load_sealed, save_sealed
from vct.lab.metrics.extras import chosen
from vct.lab.metrics.features import Features, check_count
from vct.lab.records import ExtractorRecord, StatisticsRecord

PIECE = 50_000
"""Most reference images whose features are held at a time."""


def compute(what: Statistic, reference: NDArray[np.uint8], features: Features) -> dict[str, Tensor]:
    """What is to be known of a reference.

    Args:
        what: `moments`: mean `mu` (D,) and covariance `sigma` (D, D); `features`: those (M, D) of
            the images that are compared one by one, see `extras.chosen`.
        reference: uint8 (N, C, H, W), N at least 2.

    Raises:
        UserError: if the extractor does not take these images.
    """
    check_count(reference, "reference images")
    if what == "moments":
        return _moments(_pieces(reference, features))
    part = chosen(len(reference))
    return {"features": features(reference if part is None else reference[part])}


def write(
    place: StatisticsId, data: Dataset, features: Features, extractor: ExtractorRecord
) -> None:
    """Make a file of statistics of a data set's training images."""
    found = compute(place.what, data.train.x, features)
    save_sealed(place.file, "statistics", _record(data, extractor).content(), found)


def read(place: StatisticsId, data: Dataset, extractor: ExtractorRecord) -> dict[str, Tensor]:
    """The tensors that `write` wrote.

    Raises:
        UserError: if the file is missing or damaged, or of other data, weights, options or code.
    """
    command = f"vct statistics {place}"
    facts, tensors = load_sealed(place.file, "statistics", command)
    if facts != _record(data, extractor).content():
        raise UserError(
            f"{place.file} is of other data, another extractor or another version of the program; "
            f"make it again: {command}"
        )
    return tensors


def _record(data: Dataset, extractor: ExtractorRecord) -> StatisticsRecord:
    # The hash of the whole data set stands for that of its training images.
    return StatisticsRecord(
        data_sha256=data.sha256,
        extractor_sha256=extractor.sha256,
        options=extractor.options,
        own_code=extractor.own_code,
        version=versions.SCORING,
    )


def _pieces(reference: NDArray[np.uint8], features: Features) -> Iterator[Tensor]:
    """Features of the whole reference, of at least 2 and at most `PIECE` images at a time."""
    total = len(reference)
    count = -(-total // PIECE)
    for index in range(count):
        yield features(reference[total * index // count : total * (index + 1) // count])


def _moments(pieces: Iterator[Tensor]) -> dict[str, Tensor]:
    """Mean and covariance of rows that come in pieces of at least 2; of one piece torch-fidelity's.

    Sums of squares are merged by C = C1 + C2 + n1 n2 / (n1 + n2) (mu2 - mu1) (mu2 - mu1)^T (Chan et
    al. 1979); the mean keeps the type of the features, as torch-fidelity asks.
    """
    from torch_fidelity.metric_fid import fid_features_to_statistics

    first = next(pieces)
    count, merged = len(first), fid_features_to_statistics(first)
    mu, scatter = merged["mu"].astype(np.float64), merged["sigma"] * (count - 1)
    for piece in pieces:
        found, more = fid_features_to_statistics(piece), len(piece)
        shift = found["mu"] - mu
        scatter += found["sigma"] * (more - 1)
        scatter += np.outer(shift, shift) * (count * more / (count + more))
        mu += shift * (more / (count + more))
        count += more
        merged = {"mu": mu.astype(found["mu"].dtype), "sigma": scatter / (count - 1)}
    return {name: torch.from_numpy(array) for name, array in merged.items()}
