"""What may be measured beside the Fréchet distance, from features, by torch-fidelity's formulas.

Kernel Inception Distance: Bińkowski et al., arXiv 1801.01401. Precision and recall: Kynkäänniemi et
al., arXiv 1904.06991. Inception Score: Salimans et al., arXiv 1606.03498. The first three are named
after features of an Inception network, and computed here in those of any extractor.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SEED = 2020
"""Of subsets and shuffles; torch-fidelity's own."""
SUBSETS, SUBSET_SIZE = 100, 1000
NEIGHBOURS = 3
ROWS = 1000
"""Rows of the matrix of distances that are held at a time: 200 MB for 50,000 reference images."""
SPLITS = 10

REFERENCE = 50_000
"""Most reference images whose features are kept and compared one by one, as is usual for precision
and recall; of more, so many are chosen at random. The Fréchet distance takes all."""

NAMES = {
    "kid": ("kid",),
    "precision_recall": ("precision", "recall"),
    "inception_score": ("isc",),
}
"""The numbers of each."""


class PrecisionRecall(NamedTuple):
    """Share of samples among the reference, and share of the reference among samples."""

    precision: float
    recall: float


def chosen(reference: int) -> NDArray[np.int64] | None:
    """Which reference images are compared one by one, in their order; None: all."""
    if reference <= REFERENCE:
        return None
    draw = np.random.RandomState(SEED)
    return np.sort(draw.choice(reference, REFERENCE, replace=False))


def subset_size(samples: int, reference: int) -> int:
    """Images in each subset of a KID: 1,000, or all of the smaller set."""
    return min(SUBSET_SIZE, samples, reference)


def neighbours(samples: int, reference: int) -> int:
    """The neighbour whose distance is the radius of an image: the third, or the last."""
    return min(NEIGHBOURS, samples - 1, reference - 1)


def splits(samples: int) -> int:
    """Parts whose Inception Scores are averaged: 10, or one image each."""
    return min(SPLITS, samples)


def kid(samples: Tensor, reference: Tensor) -> float:
    """Mean over random subsets of the unbiased squared MMD with the kernel (x·y/D + 1)³.

    About 0 for sets of one distribution, and as often below it; unlike a Fréchet distance it does
    not depend on the number of images.

    Args:
        samples, reference: features (N, D) and (M, D), N and M at least 2.
    """
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    size = subset_size(len(samples), len(reference))
    found = kid_features_to_metric(
        samples,
        reference,
        kid_subsets=SUBSETS,
        kid_subset_size=size,
        rng_seed=SEED,
        verbose=False,
    )
    return float(found[KEY_METRIC_KID_MEAN])


def precision_recall(
    samples: Tensor, reference: Tensor, device: torch.device | str = "cpu"
) -> PrecisionRecall:
    """Improved precision and recall, in [0, 1].

    Precision is the share of samples that lie in the ball of some reference image, whose radius is
    the distance to its third neighbour; recall is the same with the sets exchanged.

    Args:
        samples, reference: features (N, D) and (M, D), N and M at least 2.
        device: where the distances are computed.
    """
    from torch_fidelity import metric_prc

    found = metric_prc.prc_features_to_metric(
        samples.to(device),
        reference.to(device),
        prc_neighborhood=neighbours(len(samples), len(reference)),
        prc_batch_size=ROWS,
        save_cpu_ram=True,  # which for this metric means: by rows
        verbose=False,
    )
    keys = metric_prc.KEY_METRIC_PRECISION, metric_prc.KEY_METRIC_RECALL
    return PrecisionRecall(*(float(found[key]) for key in keys))


def inception_score(logits: Tensor) -> float:
    """exp E KL(p(y|x) || p(y)), the mean over parts of the samples; from 1 to K.

    Args:
        logits: (N, K).
    """
    from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric

    found = isc_features_to_metric(logits, splits(len(logits)), shuffle=True, rng_seed=SEED)
    return float(found[KEY_METRIC_ISC_MEAN])


def protocol(extras: Sequence[str], samples: int, reference: int) -> dict[str, dict[str, Any]]:
    """What a reader must know of each, for sets of these sizes."""
    part = {} if chosen(reference) is None else {"reference_images": REFERENCE}
    reference = min(reference, REFERENCE)
    known: dict[str, dict[str, Any]] = {
        "kid": {
            "subsets": SUBSETS,
            "subset_size": subset_size(samples, reference),
            "kernel": "(x.y/D + 1)^3",
            "seed": SEED,
            **part,
        },
        "precision_recall": {"neighbours": neighbours(samples, reference), "rows": ROWS, **part},
        "inception_score": {"splits": splits(samples), "seed": SEED},
    }
    return {extra: known[extra] for extra in extras}
