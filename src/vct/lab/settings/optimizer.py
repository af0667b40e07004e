"""Optimisers and schedules of the learning rate."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from vct.lab.settings.base import (
    Count,
    DottedPath,
    FamilySettings,
    OwnSettings,
    Positive,
    Probability,
    Rate,
    any_of,
)


class OptimizerSettings(FamilySettings):
    """An optimiser, with a learning-rate schedule over the training and a bound on gradients."""

    family = "optimizer"
    interface = "torch.optim:Optimizer"

    kind: str
    learning_rate: Rate = 1e-4
    betas: tuple[Probability, Probability] = (0.9, 0.999)
    schedule: Literal["constant", "cosine", "inverse_sqrt"] = "constant"
    decay_start: Annotated[float, Field(ge=0, le=1)] = 0.5
    final_fraction: Annotated[float, Field(ge=0, le=1)] = 0.05
    reference_step: Count = 2000
    clip_grad_norm: Positive | None = None

    @model_validator(mode="after")
    def _used(self) -> Self:
        """Settings that were written have all keys; those of other schedules are the usual ones."""
        of = {"decay_start": "cosine", "final_fraction": "cosine", "reference_step": "inverse_sqrt"}
        for key, schedule in of.items():
            usual = type(self).model_fields[key].get_default()
            if self.schedule != schedule and getattr(self, key) != usual:
                raise ValueError(f"{key}: is of schedule {schedule}; remove it, or ask for that")
        return self

    @field_validator("betas", mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


class RAdamSettings(OptimizerSettings):
    """RAdam, arXiv 1908.03265."""

    target = "torch.optim:RAdam"

    kind: Literal["radam"] = "radam"

    def arguments(self) -> dict[str, Any]:
        return {"betas": self.betas, "foreach": True}


class AdamSettings(OptimizerSettings):
    """Adam, arXiv 1412.6980."""

    target = "torch.optim:Adam"

    kind: Literal["adam"]

    def arguments(self) -> dict[str, Any]:
        return {"betas": self.betas, "fused": True}


class OwnOptimizerSettings(OwnSettings, OptimizerSettings):
    """Another optimiser, such as torch.optim.AdamW, called as Class(parameters, lr=..., **options).

    The schedule moves `lr` of all parameter groups.
    """

    kind: DottedPath

    @model_validator(mode="after")
    def _in_options(self) -> "OwnOptimizerSettings":
        if self.betas != type(self).model_fields["betas"].get_default():
            raise ValueError("betas: give what your optimiser takes under 'options'")
        return self


if TYPE_CHECKING:
    Optimizer = OptimizerSettings
else:
    Optimizer = any_of(OptimizerSettings, default="radam")
