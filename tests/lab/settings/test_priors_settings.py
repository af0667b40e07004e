"""Settings of priors: those that would do nothing are refused, and defaults leave hashes alone."""

import pytest
from pydantic import ValidationError
from support import COUPLINGS, params, run_settings

from vct.lab.settings.experiment import ExperimentSettings
from vct.lab.settings.sample import SampleSettings

LATE = {"num_samples": 4, "priors": ["standard", "late"], "late_start": 5.0}


def test_defaults_leave_the_hash_alone_and_others_do_not():
    plain = COUPLINGS["variational"]
    known = run_settings(plain).sha256()
    assert run_settings({**plain, "prior": "standard"}).sha256() == known
    moments = run_settings({**plain, "prior": "moments"}).sha256()
    assert run_settings({**plain, "prior": "moments", "anchor": 0.1}).sha256() == moments
    other = run_settings({**plain, "prior": "moments", "anchor": 0.2}).sha256()
    assert len({known, moments, other}) == 3
    assert "late_start" not in SampleSettings(num_samples=4).model_dump(mode="json")


def test_an_anchor_without_moments_is_refused():
    with pytest.raises(ValidationError, match="anchor: is of prior: moments"):
        run_settings({**COUPLINGS["variational"], "anchor": 0.2})


@pytest.mark.parametrize(
    "changes",
    [{"late_start": None}, {"priors": ["standard"]}, {"sampler": {"kind": "heun"}}],
)
def test_a_late_start_is_a_time_and_a_prior_of_the_few_step_sampler(changes):
    SampleSettings.model_validate(LATE)
    with pytest.raises(ValidationError, match="late_start: is"):
        SampleSettings.model_validate({**LATE, **changes})


@pytest.mark.parametrize(("time", "good"), [(5.0, True), (80.0, False), (2.0, False)])
def test_a_late_start_lies_between_the_first_time_and_the_next(time, good):
    content = params()["experiments"]["small"]
    content["sample"] = {**LATE, "late_start": time, "mid_times": [2.0]}
    for name, coupling in content["couplings"].items():
        coupling["kind"] = name
    if good:
        assert ExperimentSettings.model_validate(content).sample.late_start == time
    else:
        with pytest.raises(ValidationError, match="late_start and mid_times"):
            ExperimentSettings.model_validate(content)
