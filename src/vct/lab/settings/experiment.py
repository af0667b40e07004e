"""Section `experiments`."""

from collections import Counter
from itertools import pairwise
from typing import Annotated

from pydantic import Field, model_validator

from vct.lab.settings import registry
from vct.lab.settings.base import Section, Seed, default
from vct.lab.settings.couplings import Coupling
from vct.lab.settings.diagnostics import DiagnosticsSettings
from vct.lab.settings.sample import SampleSettings
from vct.lab.settings.score import AnyScore
from vct.lab.settings.train import TrainSettings


class ExperimentSettings(Section):
    """One row group of the table: the same conditions for all couplings and seeds."""

    train: TrainSettings
    variants: Annotated[list[str], Field(min_length=1)]
    couplings: dict[str, Coupling]
    seeds: Annotated[list[Seed], Field(min_length=1)]
    sample: SampleSettings
    score: AnyScore
    diagnostics: DiagnosticsSettings | None = Field(default=None, exclude_if=default(None))

    @model_validator(mode="after")
    def _consistent(self) -> "ExperimentSettings":
        for name in self.variants:
            if name not in self.couplings:
                raise ValueError(f"variants: {registry.unknown('coupling', name, self.couplings)}")
        for key, values in (("variants", self.variants), ("seeds", self.seeds)):
            if twice := [each for each, count in Counter(values).items() if count > 1]:
                raise ValueError(f"{key}: {twice[0]} stands there twice")
        self._check_times()
        self._check_sampler()
        self._check_diagnostics()
        self._check_couplings()
        self._check_average()
        return self

    def _check_average(self) -> None:
        width, tracked = self.sample.ema_width, self.train.ema.tracked
        if width is not None and not self.train.ema.times_kept:
            raise ValueError(
                "sample.ema_width: another width can be rebuilt only from the averages that "
                "train.ema of kind post_hoc keeps"
            )
        if width is not None and self.sample.snapshot_samples and width != tracked[0]:
            raise ValueError(
                "sample.snapshot_samples: scores along training would be of the first of "
                f"train.ema.widths, {tracked[0]}, and those of the samples of ema_width {width}; "
                "set it to 0, or put that width first"
            )

    def _check_couplings(self) -> None:
        objective = self.train.objective
        for part in (part for name in self.variants for part in self.couplings[name].parts()):
            if not objective.asks_lower and part.needs_teacher:
                raise ValueError(
                    f"variants: objective {objective.member} asks no network at a lower level, so "
                    f"that coupling {part.member} would do nothing; remove it"
                )
            if objective.trains == "denoiser" and part.needs_generator:
                raise ValueError(
                    f"variants: objective {objective.member} trains a denoiser, which makes the "
                    f"mean of the data of any noise, so that coupling {part.member} would not "
                    "know which to take; remove it"
                )
            if part.from_data and (self.train.kernel.member, self.train.t_max) != ("li", 1):
                raise ValueError(
                    f"variants: coupling {part.member} starts from images to restore, where only "
                    "kernel li with t_max 1 leads; set both"
                )
            if part.from_data and self.sample.late_start is not None:
                raise ValueError(
                    f"sample.late_start: coupling {part.member} starts from images to restore; "
                    "remove it"
                )
            if part.needs_labels and not self.train.conditional:
                raise ValueError(
                    f"variants: without labels coupling {part.member} is minibatch transport; "
                    "take ot, or set train.conditional"
                )

    def _check_diagnostics(self) -> None:
        if self.diagnostics is None:
            return
        if self.diagnostics.common not in self.variants:
            raise ValueError(
                f"diagnostics.common: '{self.diagnostics.common}' is none of the variants; name "
                "the one at whose weights all are looked at"
            )
        t_max, t_min = self.train.t_max, self.train.objective.least_time(self.train.t_max)
        if outside := [each for each in self.diagnostics.mid_times if not t_min < each < t_max]:
            raise ValueError(
                f"diagnostics.mid_times: {', '.join(map(str, outside))} must lie between t_min "
                f"({t_min}) and t_max ({t_max})"
            )
        if others := set(self.diagnostics.seeds) - set(self.seeds):
            raise ValueError(
                f"diagnostics.seeds: {', '.join(map(str, sorted(others)))} are none of the "
                "experiment's seeds; correct one of both"
            )

    @property
    def pool(self) -> int:
        """How many samples are paired together where a coupling pairs within a batch."""
        return self.sample.pool or self.train.batch_size

    def _check_times(self) -> None:
        start = self.sample.late_start
        late = [] if start is None else [start]
        times = [self.train.t_max, *late, *self.sample.mid_times]
        t_min = self.train.objective.least_time(self.train.t_max)
        decreasing = all(high > low for high, low in pairwise(times))
        if not decreasing or times[-1] <= t_min:
            raise ValueError(
                f"sample.{'late_start and ' if late else ''}mid_times: "
                f"{[*late, *self.sample.mid_times]} must decrease and lie between t_min "
                f"({t_min}) and t_max ({self.train.t_max})"
            )

    def _check_sampler(self) -> None:
        """A denoiser is integrated, a consistency function is called; an own class chooses."""
        objective, sampler = self.train.objective, self.sample.sampler
        if sampler is None:
            if objective.trains == "denoiser":
                raise ValueError(
                    f"sample.sampler: objective {objective.member} trains a denoiser, which is "
                    "sampled by {kind: heun} or {kind: euler}; add one"
                )
            return
        if sampler.takes and objective.trains and sampler.takes != objective.trains:
            raise ValueError(
                f"sample.sampler: {sampler.member} needs a {sampler.takes}, and objective "
                f"{objective.member} trains a {objective.trains} function; remove it"
            )
        if sampler.has_times and self.sample.mid_times:
            raise ValueError(f"sample.mid_times: {sampler.member} has its own times; remove them")
        sampler.check(self.train.t_max, objective.least_time(self.train.t_max))

    def label(self, coupling: str) -> str:
        """What a table calls a coupling: its kind's label if it has the kind's name, with its name
        if it is the only one of its kind, and its name alone if not."""
        settings = self.couplings[coupling]
        if not settings.label or coupling.replace("-", "_") == settings.member:
            return settings.label or coupling
        kinds = [self.couplings[name].member for name in self.variants]
        alone = kinds.count(settings.member) == 1
        return f"{settings.label} ({coupling})" if alone else coupling
