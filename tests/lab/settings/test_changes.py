"""`--set` changes one run's settings, whatever YAML shares with others."""

import pytest
import yaml
from support import PARAMS, params

from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.settings.changes import changed

RUN = RunId("small", "variational", 0)


@pytest.fixture
def path(tmp_path):
    """A params.yaml with aliases: both experiments share a section."""
    content = params()
    train = content["experiments"]["small"]["train"]
    content["experiments"]["twin"] = {**content["experiments"]["small"], "train": train}
    file = tmp_path / "params.yaml"
    file.write_text(yaml.dump(content))
    assert "&id" in file.read_text()
    return file


def test_key_of_this_run_alone_is_changed(path):
    found = changed(RUN, ["train.steps=7", "coupling.kl_weight=0.5"], path)
    assert found.experiments["small"].train.steps == 7
    assert found.experiments["small"].couplings["variational"].kl_weight == 0.5
    assert found.experiments["twin"].train.steps == PARAMS["experiments"]["small"]["train"]["steps"]
    assert found.experiments["twin"].couplings["variational"].kl_weight == 10


def test_nested_and_new_keys_and_lists(path):
    one = ["train.objective.s1=16", "train.optimizer.betas=[0.8, 0.9]"]
    train = changed(RUN, one, path).experiments["small"].train
    assert train.objective.s1 == 16 and train.objective.s0 == 2
    assert list(train.optimizer.betas) == [0.8, 0.9]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("steps=3", "write train.KEY=VALUE"),
        ("train.steps", "write train.KEY=VALUE"),
        ("train.=3", "write train.KEY=VALUE"),
        ("sample.seed=3", "write train.KEY=VALUE"),
        ("train.stepz=3", "did you mean 'steps'"),
        ("train.steps=many", "train.steps"),
        ("train.steps=[", "--set train.steps is no valid YAML"),
        ("train.steps.more=3", "train.steps"),
    ],
)
def test_what_cannot_be_set_is_one_sentence(path, change, words):
    with pytest.raises(UserError) as error:
        changed(RUN, [change], path)
    assert words in str(error.value)


def test_unknown_run_is_named(path):
    with pytest.raises(UserError, match="nothing"):
        changed(RunId("small", "nothing", 0), ["train.steps=3"], path)
