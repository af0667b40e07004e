"""Runs with and without dropout stand in one table, and `vct show` knows the version of each."""

from pathlib import Path

import pytest
import yaml
from support import MLP, params

from vct.lab import cli

RUNS = [f"small/{coupling}/seed0" for coupling in ("ot", "variational")]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("mixed"))
        dropping = {"kl_weight": 1, "encoder": {**MLP, "dropout": 0.1}}
        changes = {
            "runtime.tracking": False,
            "experiments.small.couplings": {"ot": {}, "variational": dropping},
            "experiments.small.variants": ["ot", "variational"],
            "experiments.small.seeds": [0],
            "suites": {"all": ["small"]},
        }
        Path("params.yaml").write_text(yaml.safe_dump(params(changes)))
        assert cli.main(["data", "points"]) == 0 and cli.main(["floor", "small"]) == 0
        for run in RUNS:
            for stage in ("train", "sample", "score"):
                assert cli.main([stage, run]) == 0
        yield


def test_they_share_a_table_and_are_as_they_should_be(made, capsys):
    assert cli.main(["table", "all"]) == 0
    for run in RUNS:
        capsys.readouterr()
        assert cli.main(["show", run]) == 0
        assert "differs" not in capsys.readouterr().out


def test_a_run_with_dropout_of_before_is_not(made, monkeypatch, capsys):
    monkeypatch.setattr("vct.lab.versions.TRAINING_WITH_DROPOUT", 99)
    assert cli.main(["table", "all"]) == 2
    assert "trained by version 3 of the training; make it again" in capsys.readouterr().err
    assert cli.main(["show", RUNS[0]]) == 0
    capsys.readouterr()
    assert cli.main(["show", RUNS[1]]) == 2
    assert "this program has 99" in capsys.readouterr().out
