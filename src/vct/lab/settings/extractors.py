"""Section `extractors`."""

from typing import Annotated, Literal

from pydantic import Field

from vct.lab.settings.base import Count, Rate, Section, Seed


class ClassifierSettings(Section):
    """A small classifier, trained on a data set, whose features serve a Fréchet distance."""

    kind: Literal["classifier"]
    dataset: str
    epochs: Count = 20
    learning_rate: Rate = 2e-3
    batch_size: Count = 64
    width: Annotated[int, Field(ge=1, le=4096)] = 32
    seed: Seed = 0


class InceptionSettings(Section):
    """The Inception network of published FIDs; its weights are a file of the user's.

    With `download`, the extractor stage fetches them from where torch-fidelity publishes them.
    """

    kind: Literal["inception"]
    download: bool = False


class EfficientNetSettings(Section):
    """EfficientNet-Lite0 with weights of ImageNet, which an installed package carries."""

    kind: Literal["efficientnet-lite0"]


ExtractorSettings = Annotated[
    ClassifierSettings | InceptionSettings | EfficientNetSettings,
    Field(discriminator="kind"),
]
