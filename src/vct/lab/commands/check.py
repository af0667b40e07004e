"""`vct check`: validate params.yaml and stop."""

from vct.lab.processes.streams import say
from vct.lab.settings.params import PARAMS, Params


def check(params: Params) -> None:
    """Say which experiments there are; reading them was the check. Warn of what is valid and
    nevertheless gives no good result."""
    print(f"{PARAMS} is valid: experiments {', '.join(params.experiments)}")
    for name, experiment in params.experiments.items():
        for caution in experiment.train.cautions():
            say(f"warning: experiments.{name}.train.{caution}")
