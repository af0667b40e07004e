"""Section `experiments`."""

from itertools import pairwise
from typing import Annotated

from pydantic import Field, model_validator

from vct.lab.settings import registry
from vct.lab.settings.averages import PostHocSettings
from vct.lab.settings.base import Section, Seed
from vct.lab.settings.couplings import CouplingSettings, GeneratorAugmentedSettings
from vct.lab.settings.sample import SampleSettings
from vct.lab.settings.score import ScoreSettings
from vct.lab.settings.train import TrainSettings


class ExperimentSettings(Section):
    """One row group of the table: the same conditions for all couplings and seeds."""

    train: TrainSettings
    variants: Annotated[list[str], Field(min_length=1)]
    couplings: dict[str, CouplingSettings]
    seeds: Annotated[list[Seed], Field(min_length=1)]
    sample: SampleSettings
    score: ScoreSettings

    @model_validator(mode="after")
    def _consistent(self) -> "ExperimentSettings":
        for name in self.variants:
            if name not in self.couplings:
                raise ValueError(f"variants: {registry.unknown('coupling', name, self.couplings)}")
        for key, values in (("variants", self.variants), ("seeds", self.seeds)):
            if len(set(values)) < len(values):
                raise ValueError(f"{key}: an entry stands there twice")
        self._check_times()
        self._check_sampler()
        augmented = (
            isinstance(self.couplings[name], GeneratorAugmentedSettings) for name in self.variants
        )
        if self.train.objective.kind == "edm" and any(augmented):
            raise ValueError(
                "variants: objective edm compares with the data themselves, so that coupling "
                "generator_augmented would do nothing; remove it"
            )
        if self.sample.ema_width is not None and not isinstance(self.train.ema, PostHocSettings):
            raise ValueError(
                "sample.ema_width: another width can be rebuilt only from the averages that "
                "train.ema of kind post_hoc keeps"
            )
        return self

    def _check_times(self) -> None:
        times = [self.train.t_max, *self.sample.mid_times]
        t_min = getattr(self.train.objective, "t_min", 0.0)
        decreasing = all(high > low for high, low in pairwise(times))
        if not decreasing or times[-1] <= t_min:
            raise ValueError(
                f"sample.mid_times: {self.sample.mid_times} must decrease and lie between t_min "
                f"({t_min}) and t_max ({self.train.t_max})"
            )

    def _check_sampler(self) -> None:
        """A denoiser is integrated, a consistency function is called; an own objective chooses."""
        kind, sampler = self.train.objective.kind, self.sample.sampler
        if sampler is None:
            if kind == "edm":
                raise ValueError(
                    "sample.sampler: objective edm trains a denoiser, which is sampled by "
                    "{kind: heun}; add it"
                )
            return
        if kind in ("ict", "ecm"):
            raise ValueError(
                f"sample.sampler: heun needs a denoiser, and objective {kind} trains a "
                "consistency function; remove it"
            )
        if self.sample.mid_times:
            raise ValueError("sample.mid_times: heun has its own times; remove them")
        if sampler.t_min >= self.train.t_max:
            raise ValueError(
                f"sample.sampler.t_min: {sampler.t_min} must be below t_max ({self.train.t_max})"
            )
