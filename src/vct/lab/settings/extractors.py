"""Section `extractors`."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from vct.lab.settings.base import Count, DottedPath, FamilySettings, OwnSettings, Rate, Seed, any_of


class ExtractorSettings(FamilySettings):
    """A network whose features a metric compares, instead of the images themselves."""

    family = "extractor"
    interface = "vct.lab.metrics.extractors.base:ExtractorKind"
    aside = ("dataset",)

    needs_labels: ClassVar[bool] = False
    """Whether the data set that it is trained on must have class labels."""

    has_classes: ClassVar[bool | None] = False
    """Whether its logits tell classes of things; None where only its class knows."""

    @property
    def trained_on(self) -> str | None:
        """The data set that it is trained on; None for one whose weights come from elsewhere."""
        return getattr(self, "dataset", None)


class ClassifierSettings(ExtractorSettings):
    """A small classifier, trained on a data set, whose features serve a Fréchet distance."""

    target = "vct.lab.metrics.extractors.classifier:ClassifierKind"
    needs_labels = True

    kind: Literal["classifier"]
    dataset: str
    epochs: Count = 20
    learning_rate: Rate = 2e-3
    batch_size: Annotated[int, Field(ge=2, le=1_000_000_000)] = 64
    width: Annotated[int, Field(ge=1, le=4096)] = 32
    seed: Seed = 0


class InceptionSettings(ExtractorSettings):
    """The Inception network of published FIDs; its weights are a file of the user's.

    With `download`, the extractor stage fetches them from where torch-fidelity publishes them.
    """

    target = "vct.lab.metrics.extractors.inception:InceptionKind"
    has_classes = True

    kind: Literal["inception"]
    download: bool = False


class EfficientNetSettings(ExtractorSettings):
    """EfficientNet-Lite0 with weights of ImageNet, which an installed package carries."""

    target = "vct.lab.metrics.extractors.efficientnet:EfficientNetKind"

    kind: Literal["efficientnet-lite0"]


class OwnExtractorSettings(OwnSettings, ExtractorSettings):
    """A user's extractor, called as Class(**options); its weights are made from `dataset`, if that
    is given."""

    has_classes = None

    kind: DottedPath
    dataset: str | None = None


if TYPE_CHECKING:
    AnyExtractor = ExtractorSettings
else:
    AnyExtractor = any_of(ExtractorSettings)
