"""The Inception network of published FIDs, as torch-fidelity has it.

Its weights are those of the original TensorFlow network of 2015-12-05 (Heusel et al., arXiv
1706.08500), converted by torch-fidelity's author, who publishes them as a file of 96 MB. They come
from that file alone, whose hash is checked.
"""

import io
from pathlib import Path

import torch
from torch import Tensor, nn

from vct.lab.data.download import NotFetched, fetch
from vct.lab.errors import UserError
from vct.lab.metrics.extractors.base import Extractor, file_sha256
from vct.lab.metrics.extractors.published import Published, load_published, read_published
from vct.lab.settings.extractors import InceptionSettings

FILE = Path("pretrained/weights-inception-2015-12-05-6726825d.pth")
"""Where the user puts the weights, under the name that they are published by."""
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of the published file; its name and torch-fidelity's address of it hold the first 8 digits."""
FEATURES, LOGITS = 2048, 1008
LAYERS = ["2048", "logits_unbiased"]
"""torch-fidelity's names of the layers for distances and for the Inception Score."""


def published_weights(settings: InceptionSettings) -> Published:
    """The weights in `FILE`, fetched first if the settings ask for that and they are not there.

    Raises:
        UserError: if they are not there, or not the published ones.
    """
    if settings.download:
        _fetch()
    elif not FILE.is_file():
        raise UserError(_missing("and are not fetched unless 'download: true' asks for it"))
    return read_published(FILE, SHA256)


def _fetch() -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    try:
        fetch(URL_INCEPTION_V3, FILE, SHA256)
    except NotFetched as error:
        raise UserError(_missing(f"and could not be fetched ({error})")) from None


def _missing(why: str) -> str:
    return (
        f"the weights of the extractor 'inception' are not here {why}; put torch-fidelity's file "
        f"{FILE.name} (sha256 {SHA256}) at {FILE}, or score with another extractor."
    )


class _Inception(nn.Module):
    """Features (B, 2048) and logits (B, 1008) side by side, in float32 as published FIDs are."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        # torch-fidelity unpickles a file; this one was written here, a line before.
        file = io.BytesIO()
        torch.save(tensors, file)
        file.seek(0)
        self.network = FeatureExtractorInceptionV3("inception", LAYERS, file)

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat(self.network(images), dim=1)


def inception_extractor(weights: Path) -> Extractor:
    """The extractor of a file that `vct extractor` made of the published weights.

    Raises:
        UserError: if the file is missing, damaged, or of another kind.
    """
    published = load_published(weights, "inception")
    return Extractor(
        name="inception",
        sha256=file_sha256(weights),
        features=FEATURES,
        shape=None,
        build=lambda: _Inception(published.tensors),
        logits=LOGITS,
        source=(published.source, published.source_sha256),
    )
