"""What a protocol says of a user's classes, known before anything is scored."""

from collections.abc import Mapping

from vct.lab.settings.base import FamilySettings
from vct.lab.settings.experiment import ExperimentSettings
from vct.lab.settings.extractors import ExtractorSettings
from vct.lab.settings.own_code import own_code

Options = dict[str, int | float | str]  # as in the records


def own_options(experiment: ExperimentSettings) -> dict[str, Options]:
    """Options of the user's metric, with its code, and of the user's sampler, by their names."""
    score, sampler = experiment.score, experiment.sample.sampler
    found: dict[str, Options] = {}
    if sampler is not None and sampler.is_own and sampler.arguments():
        found[sampler.member] = _words(sampler)
    if score.is_own:
        (code,) = own_code(score)["own_code"].values()
        found[score.member] = {**_words(score), "code": code[:8]}
    return found


def of_extractor(settings: ExtractorSettings) -> Options | None:
    """Options of a user's extractor, which its features may depend on and its weights need not."""
    return (settings.is_own and _words(settings)) or None


def of_metric(extras: Mapping[str, Options] | None) -> dict[str, Options]:
    """The entry of a protocol's extras that is of a user's metric: the one with code."""
    return {name: options for name, options in (extras or {}).items() if "code" in options}


def _words(own: FamilySettings) -> Options:
    return {key: str(value) for key, value in own.arguments().items()}
