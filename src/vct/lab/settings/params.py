"""The whole of params.yaml, and what its sections ask of each other."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import model_validator

from vct.lab.errors import UserError
from vct.lab.files.layout import NAME, RAW, RunId
from vct.lab.settings import registry
from vct.lab.settings.base import Section
from vct.lab.settings.data import AnyDataset, DatasetSettings
from vct.lab.settings.experiment import ExperimentSettings
from vct.lab.settings.extractors import AnyExtractor, ExtractorSettings
from vct.lab.settings.runtime import RuntimeSettings
from vct.lab.settings.suite import Suite, SuiteSettings
from vct.samplers.base import parse_key

PARAMS = Path("params.yaml")


class Params(Section):
    """The whole of params.yaml."""

    datasets: dict[str, AnyDataset]
    extractors: dict[str, AnyExtractor] = {}
    experiments: dict[str, ExperimentSettings]
    suites: dict[str, Suite]
    runtime: RuntimeSettings = RuntimeSettings()

    @model_validator(mode="after")
    def _names(self) -> "Params":
        for family in ("datasets", "extractors", "experiments", "suites"):
            _check_names(family, getattr(self, family))
        for name, experiment in self.experiments.items():
            _check_names(f"experiments.{name}.couplings", experiment.couplings)
        taken = {name.lower() for name in self.experiments}
        for name in self.suites:
            if (number := _as_number(name)) not in (None, name):
                raise ValueError(
                    f"suites.{name}: Snakemake's --config takes this name for the number {number}; "
                    "begin it with a letter"
                )
            if name.lower() in taken:
                raise ValueError(f"suites.{name}: the name is taken by an experiment's folder")
        for family, reserved in RESERVED.items():
            for name in getattr(self, family):
                if name.lower() in reserved:
                    raise ValueError(f"{family}.{name}: the name is taken by a folder of ours")
        return self

    @model_validator(mode="after")
    def _references(self) -> "Params":
        for name in self.extractors:
            self._check_extractor(name)
        for name in self.experiments:
            self._check_experiment(name)
        for suite, settings in self.suites.items():
            members = settings.experiments
            for member in members:
                _refer(f"suites.{suite}", "experiment", member, self.experiments)
            if len(set(members)) < len(members):
                raise ValueError(f"suites.{suite}: an experiment stands there twice")
            self._check_endpoint(suite)
            self._check_matched(suite)
        return self

    def _check_endpoint(self, suite: str) -> None:
        settings = self.suites[suite]
        if settings.primary is None:
            return
        for member in settings.experiments:
            experiment, given = self.experiments[member], settings.primary
            sample = experiment.sample
            known = [f"steps{n}" for n in range(1, 2 + len(sample.mid_times))]
            if sample.sampler is None and given not in known:
                raise ValueError(
                    f"suites.{suite}.primary: experiment '{member}' draws {', '.join(known)}, not "
                    f"{given}; choose one of them"
                )
            for rival in () if settings.comparisons else settings.rivals:
                self._check_row(f"suites.{suite}.rivals", member, rival)
        for comparison in settings.comparisons:
            place, used = f"suites.{suite}.comparisons", False
            for member in settings.experiments:
                opponents = settings.opponents(member, comparison)
                if opponents and comparison.coupling in self.experiments[member].variants:
                    self._check_row(place, member, comparison.row)
                    for rival in comparison.against:
                        self._check_row(place, opponents, rival)
                    used = True
            if not used:
                raise ValueError(
                    f"{place}: no experiment that is compared so has the variant "
                    f"'{comparison.coupling}'; correct the name, or remove it"
                )

    def _check_matched(self, suite: str) -> None:
        """Experiments of equal time must be scored alike, as their scores are compared."""
        settings = self.suites[suite]
        for name, other in settings.matched.items():
            one, two = (_scored(self.experiments[each], settings.primary) for each in (name, other))
            if found := [key for key in one if one[key] != two[key]]:
                raise ValueError(
                    f"suites.{suite}.matched: experiments '{name}' and '{other}' are not scored "
                    f"alike (they differ in {', '.join(found)}), so their scores do not compare; "
                    "set both alike"
                )

    def _check_row(self, place: str, member: str, row: str) -> None:
        """Whether an experiment has a row: a coupling, or such as variational/fitted."""
        experiment = self.experiments[member]
        name, _, prior = row.partition("/")
        _refer(place, "variant", name, dict.fromkeys(experiment.variants))
        if prior and prior not in experiment.sample.priors:
            raise ValueError(
                f"{place}: experiment '{member}' has no prior '{prior}'; add it to its "
                "sample.priors"
            )

    def _check_extractor(self, name: str) -> None:
        settings = self.extractors[name]
        if name.lower() == "inception" and settings.member != "inception":
            raise ValueError(
                f"extractors.{name}: its distances would be called FID, which is of kind "
                f"inception, not {settings.member}; choose another name"
            )
        dataset = settings.trained_on
        if dataset is None:
            return
        _refer(f"extractors.{name}.dataset", "data set", dataset, self.datasets)
        if self.datasets[dataset].form == "points":
            raise ValueError(f"extractors.{name}.dataset: give images, not points")
        if settings.needs_labels:
            self._check_labels(f"extractors.{name}", f"a {settings.member}", dataset)

    def _check_experiment(self, name: str) -> None:
        here, experiment = f"experiments.{name}", self.experiments[name]
        dataset, train, score = experiment.train.dataset, experiment.train, experiment.score
        _refer(f"{here}.train.dataset", "data set", dataset, self.datasets)
        if train.conditional:
            self._check_labels(f"{here}.train", "conditional training", dataset)
        if score.extractor is not None:
            _refer(f"{here}.score.extractor", "extractor", score.extractor, self.extractors)
            score.check(here, self.extractors[score.extractor], self.datasets[dataset])
        # None where only the files know; then training says it before its first step.
        available = self.datasets[dataset].train_size
        if available is not None and train.batch_size > available:
            raise ValueError(
                f"{here}.train.batch_size: {train.batch_size} is more than the {available} "
                f"training samples of data set '{dataset}'; make it smaller"
            )
        self._check_start(name)
        self._check_teachers(name)
        self._check_rings(name)
        form = self.datasets[dataset].form
        if form == "points" and any(
            part.from_data
            for each in experiment.variants
            for part in experiment.couplings[each].parts()
        ):
            raise ValueError(f"{here}.variants: points have no resolution to restore; remove it")
        if form == "points" and train.flip:
            raise ValueError(f"{here}.train.flip: points have no left and right; remove it")
        if form and score.form and form != score.form:
            raise ValueError(
                f"{here}.score.metric: points are scored by wasserstein, images by fid"
            )

    def _check_labels(self, key: str, what: str, name: str) -> None:
        if self.datasets[name].has_labels is False:
            raise ValueError(
                f"{key}: {what} needs class labels, and data set '{name}' has none; of an image "
                "folder, choose 'labels: folders' or 'json'"
            )

    def _check_start(self, name: str) -> None:
        """Weights of a run, from which trainings of experiment `name` start, must be another's."""
        key = f"experiments.{name}.train.initial_weights"
        run = RunId.of_weights(self.experiments[name].train.initial_weights or "")
        if run is None:
            return
        _refer(key, "experiment", run.experiment, self.experiments)
        _refer(key, "coupling", run.coupling, self.experiments[run.experiment].couplings)
        if run.experiment == name:
            raise ValueError(f"{key}: an experiment cannot start from its own runs")

    def _check_teachers(self, name: str) -> None:
        """Runs that make pairs for experiment `name` must be flows of the same data and seeds."""
        one = self.experiments[name]
        for coupling, settings in one.couplings.items():
            taught = settings.taught()
            if taught is None:
                continue
            inside = ".base" * list(settings.parts()).index(taught)
            key = f"experiments.{name}.couplings.{coupling}{inside}.teacher"
            experiment, _, variant = taught.teacher.partition("/")
            _refer(key, "experiment", experiment, self.experiments)
            teacher = self.experiments[experiment]
            _refer(key, "coupling", variant, dict.fromkeys(teacher.variants))
            if any(part.from_data for part in teacher.couplings[variant].parts()):
                raise ValueError(f"{key}: {variant} restores images, and makes none of noise")
            if why := _unfit(teacher, one):
                raise ValueError(f"{key}: {experiment} {why}")
            if taught.sampler.takes == "consistency":
                raise ValueError(f"{key}: the sampler {taught.sampler.member} asks for no flow")
            taught.sampler.check(
                teacher.train.t_max, teacher.train.objective.least_time(teacher.train.t_max)
            )

    def _check_rings(self, name: str) -> None:
        """No experiment may wait for its own runs, by way of others."""
        waits, seen = [name], set[str]()
        while waits:
            for other in self._started_from(waits.pop()) - seen:
                if other == name:
                    raise ValueError(
                        f"experiments.{name}: it waits for its own runs, to start from them or to "
                        f"be taught, by way of {', '.join(sorted(seen)) or 'itself'}; name others"
                    )
                seen.add(other)
                waits.append(other)

    def _started_from(self, name: str) -> set[str]:
        """Experiments whose runs those of an experiment wait for."""
        one = self.experiments[name]
        runs = [RunId.of_weights(one.train.initial_weights or "")]
        runs += [coupling.teacher_run(0) for coupling in one.couplings.values()]
        return {run.experiment for run in runs if run is not None}

    def dataset(self, name: str) -> DatasetSettings:
        """The data set called `name`, or a UserError with the nearest names."""
        if name not in self.datasets:
            raise UserError(f"{PARAMS}: {registry.unknown('data set', name, self.datasets)}")
        return self.datasets[name]

    def extractor(self, name: str) -> ExtractorSettings:
        """The extractor called `name`, or a UserError with the nearest names."""
        if name not in self.extractors:
            raise UserError(f"{PARAMS}: {registry.unknown('extractor', name, self.extractors)}")
        return self.extractors[name]

    def experiment(self, name: str) -> ExperimentSettings:
        """The experiment called `name`, or a UserError with the nearest names."""
        if name not in self.experiments:
            raise UserError(f"{PARAMS}: {registry.unknown('experiment', name, self.experiments)}")
        return self.experiments[name]

    def suite(self, name: str) -> list[str]:
        """The experiments of the suite called `name`, or a UserError with the nearest names."""
        return self.suite_settings(name).experiments

    def suite_settings(self, name: str) -> SuiteSettings:
        """The suite called `name`, or a UserError with the nearest names."""
        if name not in self.suites:
            raise UserError(f"{PARAMS}: {registry.unknown('suite', name, self.suites)}")
        return self.suites[name]

    def suite_runs(self, suite: str) -> list[RunId]:
        """All runs of a suite."""
        return [run for name in self.suite(suite) for run in self.runs(name)]

    def runs(self, experiment: str) -> list[RunId]:
        """All runs of an experiment, by coupling, then seed."""
        settings = self.experiment(experiment)
        return [
            RunId(experiment, coupling, seed)
            for coupling in settings.variants
            for seed in settings.seeds
        ]


RESERVED = {
    "datasets": {RAW.name},
    "suites": {"extractors", "statistics", "data", "floor"},
    "experiments": {"extractors", "statistics", "table", "scores", "explain", "report"},
}
"""Names that are folders or files of data/, results/ and logs/ already."""


def _check_names(family: str, names: Iterable[str]) -> None:
    """Names become folders and words of a command line, so they are plain.

    Two that differ in case alone would be one folder on many file systems.
    """
    seen: dict[str, str] = {}
    for name in names:
        key = f"{family}.{name[:80]}"
        if not NAME.fullmatch(name):
            raise ValueError(f"{key}: a name has letters, digits, '_' and '-' alone, 64 at most")
        if name.lower() in seen:
            raise ValueError(f"{key}: it differs from '{seen[name.lower()]}' in case alone")
        seen[name.lower()] = name


def _as_number(word: str) -> str | None:
    """What Snakemake makes of `--config suite=WORD` if it looks like a number to it: 10 of 010."""
    for number in (int, float):
        with suppress(ValueError):
            return str(number(word))
    return None


def _refer(key: str, what: str, name: str, known: dict[str, Any]) -> None:
    if name not in known:
        raise ValueError(f"{key}: {registry.unknown(what, name, known)}")


_UNSCORED = {"batch_size", "snapshot_samples", "priors", "late_start", "ema_width"}
_PARTLY = {"pool", "mid_times"}
"""Keys of section `sample` that leave the meaning of a score alone, such as the average, which is
the model's; and those that do so in part."""


def _scored(experiment: ExperimentSettings, primary: str | None) -> dict[str, Any]:
    """What decides the meaning of an experiment's scores of the samples `primary`, by its key."""
    train, sample = experiment.train, experiment.sample
    _, steps = parse_key(primary) or ("", 1)
    return {
        "train.dataset": train.dataset,
        "train.t_max": train.t_max,
        "score": experiment.score,
        **{f"sample.{key}": value for key, value in sample if key not in _UNSCORED | _PARTLY},
        "sample.pool (or train.batch_size)": experiment.pool,
        "sample.mid_times": sample.mid_times[: steps - 1],
    }


def _unfit(teacher: ExperimentSettings, taught: ExperimentSettings) -> str | None:
    """Why runs of an experiment cannot make the pairs of another's."""
    if teacher.train.objective.trains != "denoiser":
        return "trains no flow; name a run of objective flow or edm"
    if teacher.train.dataset != taught.train.dataset:
        return "has other data; name one of the same"
    if teacher.train.conditional != taught.train.conditional:
        return "and this one are not both trained with labels; train both alike"
    if missing := set(taught.seeds) - set(teacher.seeds):
        return (
            f"has no run with seed {min(missing)}, and each run is taught by that of its seed; "
            "add it there"
        )
    return None
