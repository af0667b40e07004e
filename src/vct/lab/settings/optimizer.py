"""Optimisers and schedules of the learning rate."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from vct.lab.settings.base import Count, Positive, Probability, Rate, Section


class OptimizerSettings(Section):
    """RAdam or Adam, with a learning-rate schedule over the training."""

    kind: Literal["radam", "adam"] = "radam"
    learning_rate: Rate = 1e-4
    betas: tuple[Probability, Probability] = (0.9, 0.999)
    schedule: Literal["constant", "cosine", "inverse_sqrt"] = "constant"
    decay_start: Annotated[float, Field(ge=0, le=1)] = 0.5
    final_fraction: Annotated[float, Field(ge=0, le=1)] = 0.05
    reference_step: Count = 2000
    clip_grad_norm: Positive | None = None

    @field_validator("betas", mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value
