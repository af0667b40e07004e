"""Section `diagnostics` of an experiment."""

from typing import Annotated

from pydantic import Field, field_validator

from vct.lab.settings.base import Section, Seed, Time


class DiagnosticsSettings(Section):
    """What is measured of the runs of some `seeds` beside their scores (docs/diagnostics.md).

    Noise of gradients is that of so many `batches`, also along so many `levels` of noise, and at
    the weights of the `common` coupling's run of the same seed. Couplings are looked at in so many
    `pairs`, models at so many `points`; tests take so many `permutations`. Scores are drawn again
    with so many seeds of sampling (`redraws`), and at each of `mid_times`, which half of them
    choose among and the other half reports.
    """

    seeds: Annotated[list[Seed], Field(min_length=1)]
    batches: Annotated[int, Field(ge=8, le=1000)] = 32
    levels: Annotated[int, Field(ge=2, le=100)] = 8
    common: str = "independent"
    pairs: Annotated[int, Field(ge=64, le=20_000)] = 2000
    points: Annotated[int, Field(ge=2, le=10_000)] = 64
    permutations: Annotated[int, Field(ge=19, le=100_000)] = 199
    redraws: Annotated[int, Field(ge=2, le=100, multiple_of=2)] = 4
    mid_times: Annotated[list[Time], Field(max_length=100)] = []

    @field_validator("mid_times")
    @classmethod
    def _falling(cls, value: list[Time]) -> list[Time]:
        return sorted(set(value), reverse=True)
