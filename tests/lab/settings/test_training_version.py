"""Which trainings a new version of dropout makes stale: those that have some."""

import pytest
import yaml
from support import MLP, params, run_settings

from vct.lab import versions
from vct.lab.files.layout import RunId
from vct.lab.settings import reading
from vct.lab.workflow import dvc, graph

DROPPING = {**MLP, "dropout": 0.1}
VC = {"kind": "variational", "kl_weight": 1}


@pytest.mark.parametrize(
    ("coupling", "network", "drops"),
    [
        ("independent", MLP, False),
        ("independent", DROPPING, True),
        ({**VC, "encoder": MLP}, MLP, False),
        ({**VC, "encoder": DROPPING}, MLP, True),
        ({"kind": "generator_augmented", "base": {**VC, "encoder": DROPPING}}, MLP, True),
    ],
)
def test_networks_and_encoders_count(coupling, network, drops):
    settings = run_settings(coupling, network=network)
    assert settings.drops is drops
    expected = versions.TRAINING_WITH_DROPOUT if drops else versions.TRAINING
    assert settings.training_version == expected


def test_both_are_raised_together():
    """Else trainings with dropout would pass for those of a program that draws other batches."""
    assert versions.TRAINING_WITH_DROPOUT > versions.TRAINING


def test_the_engines_ask_for_that_version():
    changes = {
        "experiments.small.couplings": {"ot": {}, "variational": {**VC, "encoder": DROPPING}},
        "experiments.small.variants": ["ot", "variational"],
        "suites": {"cpu": ["small"]},
    }
    given = reading.validate(params(changes))
    for coupling, version in (("ot", versions.TRAINING),
                              ("variational", versions.TRAINING_WITH_DROPOUT)):  # fmt: skip
        run = RunId("small", coupling, 0)
        assert graph.training_version(given, Wildcards(vars(run))) == version
    stages = yaml.safe_load(dvc.text(given, "cpu"))["stages"]
    assert "TRAINING_WITH_DROPOUT" in str(stages["train-small"])
    plain = yaml.safe_load(
        dvc.text(reading.validate(params({"suites": {"cpu": ["small"]}})), "cpu")
    )["stages"]
    assert "TRAINING_WITH_DROPOUT" not in str(plain) and "TRAINING" in str(plain["train-small"])


class Wildcards:
    """As Snakemake gives them: words."""

    def __init__(self, values):
        vars(self).update({key: str(value) for key, value in values.items()})
