"""What a feature extractor is: a kind makes a file of weights, and reads an extractor from it.

A new kind is one file with a class of two methods, and one settings class.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from vct.lab.data.dataset import Dataset
from vct.lab.records import Record


@dataclass(frozen=True)
class Extractor:
    """A feature extractor with fixed weights.

    Attributes:
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

    features: int
    shape: tuple[int, int, int] | None
    build: Callable[[], nn.Module]
    logits: int = 0
    on_cpu: bool = False
    source: tuple[str, str] | None = None


class ExtractorKind(ABC):
    """Makes the weights of a feature extractor, and reads them.

    An extractor of one's own is a class with these two methods, whose `__init__` takes its options.
    """

    @abstractmethod
    def make(self, weights: Path, data: Dataset | None) -> Record | dict[str, Any]:
        """Write the file `weights`; return what its metrics.json says: words and numbers.

        Args:
            data: the data set of the settings' `dataset`, None where they name none.

        Raises:
            UserError: if they cannot be made.
        """

    @abstractmethod
    def load(self, weights: Path) -> Extractor:
        """The extractor with the weights of a file that `make` wrote.

        Raises:
            UserError: if the file is missing or damaged.
        """
