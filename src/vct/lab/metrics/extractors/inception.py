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
from vct.lab.metrics.extractors.base import Extractor
from vct.lab.metrics.extractors.published import PublishedKind

FILE = Path("pretrained/weights-inception-2015-12-05-6726825d.pth")
"""Where the user puts the weights, under the name that they are published by."""
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of the published file; its name and torch-fidelity's address of it hold the first 8 digits."""
FEATURES, LOGITS = 2048, 1008
LAYERS = ["2048", "logits_unbiased"]
"""torch-fidelity's names of the layers for distances and for the Inception Score."""


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


class InceptionKind(PublishedKind):
    """The Inception network with the weights in `FILE`.

    Args:
        download: fetch them if they are not there.
    """

    kind = "inception"

    def __init__(self, download: bool = False) -> None:
        self.download = download

    def published(self) -> tuple[Path, str]:
        if not FILE.is_file():
            if not self.download:
                raise _missing("and are not fetched unless 'download: true' asks for it")
            _fetch()
        return FILE, SHA256

    def extractor(self, tensors: dict[str, Tensor], source: tuple[str, str]) -> Extractor:
        return Extractor(FEATURES, None, lambda: _Inception(tensors), LOGITS, source=source)


def _fetch() -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    try:
        fetch(URL_INCEPTION_V3, FILE, SHA256)
    except NotFetched as error:
        raise _missing(f"and could not be fetched ({error})") from None


def _missing(why: str) -> UserError:
    return UserError(
        f"the weights of the extractor 'inception' are not here {why}; put torch-fidelity's file "
        f"{FILE.name} (sha256 {SHA256}) at {FILE}, or score with another extractor."
    )
