"""Section `sample` of an experiment."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from vct.lab.settings.averages import Width
from vct.lab.settings.base import Count, Points, Section, Seed, Time, default
from vct.lab.settings.samplers import AnySampler

Prior = Literal["standard", "fitted", "aggregate", "late"]


class SampleSettings(Section):
    """How samples are drawn from a trained model.

    A coupling that pairs within a batch does so here too, after the first step, in pools of `pool`
    samples (by default as many as a batch of the training). `batch_size` decides memory and speed,
    and no number. Where the coupling has a posterior, samples start from each of `priors`: N(0, I),
    the Gaussian `fitted` to the aggregate posterior, or the `aggregate` posterior itself, which
    needs the training data and is a bound, no sampler. `late` starts at time `late_start` < t_max
    instead, from the Gaussian that fits x_t there, also where noise is independent. Without a
    `sampler`, the few-step sampler of consistency models is used. `classes` of conditional models
    come in turn, each as often, or in the shares of the training data, `as_data`, with which scores
    compare them.
    """

    num_samples: Points
    batch_size: Count = 500
    pool: Count | None = Field(default=None, exclude_if=default(None))
    mid_times: Annotated[list[Time], Field(max_length=100)] = []
    seed: Seed = 0
    noise: Literal["gaussian", "sobol"] = "gaussian"
    classes: Literal["in_turn", "as_data"] = Field(default="in_turn", exclude_if=default("in_turn"))
    snapshot_samples: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    priors: Annotated[list[Prior], Field(min_length=1, exclude_if=default(["standard"]))] = [
        "standard"
    ]
    late_start: Time | None = Field(default=None, exclude_if=default(None))
    ema_width: Width | None = Field(default=None, exclude_if=default(None))
    sampler: AnySampler | None = Field(default=None, exclude_if=default(None))

    @field_validator("priors")
    @classmethod
    def _different(cls, value: list[Prior]) -> list[Prior]:
        if len(set(value)) < len(value) or "standard" not in value:
            raise ValueError("name each once, and standard, which other couplings start from")
        return value

    @model_validator(mode="after")
    def _late(self) -> "SampleSettings":
        if (self.late_start is None) == ("late" in self.priors):
            raise ValueError("late_start: is the time of prior late; set both or neither")
        if self.late_start is not None and self.sampler is not None:
            raise ValueError("late_start: is of the few-step sampler; remove it, or sampler")
        return self

    @field_validator("snapshot_samples")
    @classmethod
    def _none_or_two(cls, value: int) -> int:
        if value == 1:
            raise ValueError("one sample has no score; take 0 for none, or 2 and more")
        return value
