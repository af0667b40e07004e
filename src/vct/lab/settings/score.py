"""Section `score` of an experiment."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from vct.lab.files.layout import Statistic
from vct.lab.records import Label
from vct.lab.settings.base import DottedPath, FamilySettings, OwnSettings, any_of, default
from vct.lab.settings.data import DatasetSettings, Form
from vct.lab.settings.extractors import ExtractorSettings

COMPARED = ("kid", "precision_recall")
"""Extras that compare samples and training images one by one."""


class ScoreSettings(FamilySettings):
    """How samples are scored against the training set."""

    family = "metric"
    word = "metric"
    interface = "vct.lab.metrics.base:Metric"

    form: ClassVar[Form | None] = None
    """What it scores; None: whatever there is."""
    labels: ClassVar[Mapping[str, Label]] = {}
    """What a table calls its numbers."""

    if TYPE_CHECKING:  # a field of each, in its place
        extractor: str | None

    @property
    def primary(self) -> str | None:
        """The number that ranks; None where only a user's class knows."""
        return None

    @property
    def numbers(self) -> set[str] | None:
        """Beginnings of the names of its numbers; None where only a user's class knows."""
        return None

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """What must be known of the training images in the features of its extractor."""
        return ()

    def check(self, here: str, extractor: ExtractorSettings, data: DatasetSettings) -> None:
        """Raise ValueError where the extractor or the data set do not fit experiment `here`."""

    def misfit(self, **offered: Any) -> str | None:
        if self.form in (None, offered["form"]):
            return None
        return (
            f"the metric '{self.member}' scores {self.form}, and the data set holds "
            f"{offered['form']}; choose another metric."
        )


class FrechetSettings(ScoreSettings):
    """The Fréchet distance in the features of an extractor, and `extras` beside it."""

    target = "vct.lab.metrics.frechet:Frechet"
    form = "images"
    labels = {
        "fid": Label(label="Fréchet distance", lower_is_better=True, heading="FD"),
        "kid": Label(label="kernel distance", lower_is_better=True, heading="KD", decimals=5),
        "precision": Label(label="precision", higher_is_better=True),
        "recall": Label(label="recall", higher_is_better=True),
        "isc": Label(label="Inception Score", higher_is_better=True),
    }

    metric: Literal["fid"]
    extractor: str
    extras: Annotated[
        list[Literal["kid", "precision_recall", "inception_score"]], Field(exclude_if=default([]))
    ] = []

    @field_validator("extras")
    @classmethod
    def _different(cls, value: list[Any]) -> list[Any]:
        if len(set(value)) < len(value):
            raise ValueError("an entry stands there twice")
        return value

    @property
    def primary(self) -> str:
        return f"fid_{self.extractor}"

    @property
    def numbers(self) -> set[str]:
        more = {
            "kid": {"kid"},
            "precision_recall": {"precision", "recall"},
            "inception_score": {"isc"},
        }
        return {"fid"}.union(*(more[extra] for extra in self.extras))

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        return ("moments", "features") if set(COMPARED) & set(self.extras) else ("moments",)

    def check(self, here: str, extractor: ExtractorSettings, data: DatasetSettings) -> None:
        """An Inception Score needs logits of a network that knows things by their colours too."""
        if "inception_score" not in self.extras:
            return
        key = f"{here}.score.extras: inception_score"
        if extractor.has_classes is False:
            raise ValueError(
                f"{key} needs an extractor of kind inception, and '{self.extractor}' is of kind "
                f"{extractor.member}; remove it or score with another extractor"
            )
        if data.is_colour is False:
            raise ValueError(f"{key} is for colour images, and the data set is grey; remove it")


class WassersteinSettings(ScoreSettings):
    """The exact 2-Wasserstein distance between points, and the mass at each mode."""

    target = "vct.lab.metrics.wasserstein:Wasserstein"
    form = "points"
    labels = {
        "w2": Label(label="2-Wasserstein distance", lower_is_better=True),
        "mass_outside": Label(label="mass outside the modes", lower_is_better=True),
    }
    aside = ("extractor",)

    metric: Literal["wasserstein"]
    extractor: None = None

    @property
    def primary(self) -> str:
        return "w2"

    @property
    def numbers(self) -> set[str]:
        return {"w2", "mass"}


class OwnScoreSettings(OwnSettings, ScoreSettings):
    """A user's metric, called as Class(**options); also with reference, the training data as a
    memory-mapped array (N, C, H, W), where its signature takes it."""

    metric: DottedPath
    extractor: None = None


if TYPE_CHECKING:
    AnyScore = ScoreSettings
else:
    AnyScore = any_of(ScoreSettings)


_LABELS = {
    **WassersteinSettings.labels,
    "aggregate_variance": Label(label="aggregate variance"),
    "fid_inception": Label(label="FID", lower_is_better=True),
    "kid_inception": Label(label="KID", lower_is_better=True, decimals=5),
}


def label(key: str) -> Label:
    """What a table calls the number `key` of metrics.json.

    Only Inception features make a Fréchet distance an FID, and a kernel distance a KID; with others
    the label names them. A number of a user's metric is called by its key; its protocol says more.
    """
    number, _, extractor = key.partition("_")
    found = FrechetSettings.labels.get(number)
    if key in _LABELS or found is None or not extractor:
        return _LABELS.get(key, Label(label=key.replace("_", " ")))
    if extractor == "inception":
        return found
    name = extractor.replace("_", " ")
    called = {"label": f"{found.label} ({name} features)", "heading": f"{found.short} ({name})"}
    return found.model_copy(update=called)
