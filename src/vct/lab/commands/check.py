"""`vct check`: validate params.yaml and stop."""

from vct.lab.settings.params import PARAMS, Params


def check(params: Params) -> None:
    """Say which experiments there are; reading them was the check."""
    print(f"{PARAMS} is valid: experiments {', '.join(params.experiments)}")
