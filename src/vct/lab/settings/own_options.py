"""What a protocol says of a user's classes, known before anything is scored."""

from vct.lab.settings.base import FamilySettings
from vct.lab.settings.experiment import ExperimentSettings
from vct.lab.settings.own_code import own_code

Options = dict[str, int | float | str]


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


def _words(own: FamilySettings) -> Options:
    return {key: str(value) for key, value in own.arguments().items()}
