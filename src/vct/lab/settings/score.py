"""Section `score` of an experiment."""

from typing import Any, Literal

from pydantic import Field, model_validator

from vct.lab.settings.base import Section


def _empty(value: Any) -> bool:
    return value == []


class ScoreSettings(Section):
    """How samples are scored against the training set; `extras` beside the Fréchet distance."""

    metric: Literal["fid", "wasserstein"]
    extractor: str | None = None
    extras: list[Literal["kid", "precision_recall", "inception_score"]] = Field(
        default=[], exclude_if=_empty
    )

    @model_validator(mode="after")
    def _pair(self) -> "ScoreSettings":
        if (self.metric == "fid") != (self.extractor is not None):
            raise ValueError("metric fid needs an extractor, and metric wasserstein takes none")
        if self.extras and self.metric != "fid":
            raise ValueError("extras are for metric fid; remove them")
        if len(set(self.extras)) < len(self.extras):
            raise ValueError("extras: an entry stands there twice")
        return self
