"""`vct.load` gives the model that was trained: its samples are those of samples.npz."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from reused import IMAGES, PAIRED, POINTS
from support import randomise
from torch.nn import functional

import vct
from vct.couplings.variational import Variational
from vct.lab import cli
from vct.lab.errors import UserError
from vct.lab.reuse.model import LoadedModel
from vct.lab.sampling.classes import in_shares
from vct.lab.sampling.drawing import to_uint8


def stored(folder, run):
    with np.load(folder / "results" / run / "samples.npz") as file:
        return {key: file[key] for key in file.files}


@pytest.mark.parametrize("prior", ["standard", "fitted"])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_samples_of_points_are_those_of_the_run(here, prior, steps):
    key = ("fitted-" if prior == "fitted" else "") + f"steps{steps}"
    x = vct.load(f"results/{POINTS}").sample(16, steps=steps, prior=prior)
    np.testing.assert_array_equal(x.numpy(), stored(here, POINTS)[key])


@pytest.mark.parametrize("steps", [1, 3])
def test_samples_of_images_with_classes_in_turn_are_those_of_the_run(here, steps):
    x = vct.load(f"results/{IMAGES}").sample(23, steps=steps, prior="fitted")
    assert x.abs().max() <= 1
    found = stored(here, IMAGES)[f"fitted-steps{steps}"]
    np.testing.assert_array_equal(to_uint8(x).numpy(), found)


def test_images_stay_within_their_range(here):
    model = vct.load(IMAGES)
    randomise(model.network, scale=3)
    x = model.sample(20)
    assert x.max() == 1 and x.min() == -1


def test_samples_of_pairs_within_a_batch_are_those_of_the_run(here):
    x = vct.load(f"results/{PAIRED}").sample(16, steps=3)
    np.testing.assert_array_equal(x.numpy(), stored(here, PAIRED)["steps3"])


def test_labels_choose_the_class(here):
    model = vct.load(f"results/{IMAGES}")
    in_turn, third = model.sample(20), model.sample(20, labels=3)
    assert torch.equal(in_turn[3::10], third[3::10])
    assert not torch.equal(in_turn[2::10], third[2::10])
    assert torch.equal(third, model.sample(20, labels=[3] * 20))
    assert torch.equal(third, model.sample(20, labels=torch.full((20,), 3)))


def test_classes_in_the_shares_of_the_data_are_those_of_the_run(project, tmp_path, monkeypatch):
    """Also where the data are not: an export knows how many of each class there were."""
    here = tmp_path / "project"
    shutil.copytree(project, here)
    monkeypatch.chdir(here)
    counts = np.bincount(np.load("data/images/train_labels.npy"))
    model = vct.load(IMAGES)
    in_turn, shared = model.sample(23), model.sample(23, labels=in_shares(counts, 23))
    assert not torch.equal(in_turn, shared)
    settings = yaml.safe_load(Path("params.yaml").read_text())
    settings["experiments"]["pictures"]["sample"]["classes"] = "as_data"
    Path("params.yaml").write_text(yaml.safe_dump(settings))
    assert cli.main(["sample", IMAGES]) == 0
    assert cli.main(["export", IMAGES, "passed-on"]) == 0
    expected = stored(here, IMAGES)["steps1"]
    for place in (IMAGES, "passed-on"):
        x = vct.load(place).sample(23)
        assert torch.equal(x, shared)
        np.testing.assert_array_equal(to_uint8(x).numpy(), expected)
        np.testing.assert_allclose(vct.load(place).sample(7), x[:7], atol=1e-5)
        with monkeypatch.context() as patch:  # names that are other classes' numbers
            patch.setattr(LoadedModel, "class_names", [str(9 - number) for number in range(10)])
            assert torch.equal(vct.load(place).sample(23), shared)
        shutil.rmtree("data", ignore_errors=place != IMAGES)


def test_seed_decides_and_a_sample_does_not_depend_on_how_many_there_are(here):
    model = vct.load(POINTS)  # by the name of the run alone
    x = model.sample(9, steps=2, seed=4)
    assert torch.equal(x, model.sample(9, steps=2, seed=4))
    torch.testing.assert_close(x[:3], model.sample(3, steps=2, seed=4))
    assert not torch.equal(x, model.sample(9, steps=2, seed=5))
    assert torch.equal(model.sample(9), model.sample(9, steps=1))


def test_times_of_your_own_are_those_of_a_protocol_with_them(here):
    model = vct.load(POINTS)
    assert torch.equal(model.sample(9, steps=2), model.sample(9, steps=2, mid_times=[2.0]))
    assert model.sample(9, steps=5, mid_times=[9.0, 3.0, 1.0, 0.3]).shape == (9, 2, 1, 1)


def test_encoder_gives_the_posterior_that_training_had(here):
    model = vct.load(IMAGES)
    images = torch.from_numpy(np.load("data/images/train_x.npy")[:6])
    mean, std = model.encode(images, labels=[0, 1, 2, 3, 4, 5])
    one_hot = functional.one_hot(torch.arange(6), 10).float()
    expected = model.coupling.posterior(images.float() / 127.5 - 1, one_hot)
    torch.testing.assert_close((mean, std), expected, rtol=0, atol=0)
    assert (std > 0).all()


def test_call_is_the_consistency_function(here):
    model = vct.load(POINTS)
    x, t_min = torch.randn(5, 2, 1, 1), model.function.t_min
    torch.testing.assert_close(model(x, torch.full((5,), t_min)), x)
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_facts(here):
    points, images = vct.load(POINTS), vct.load(IMAGES)
    assert points.shape == (2, 1, 1) and points.classes == 0 and points.class_names == []
    assert images.shape == (1, 8, 8) and images.classes == 10
    assert points.priors == ["standard", "fitted"] and vct.load(PAIRED).priors == ["standard"]
    assert set(points.scores) >= {"steps1", "fitted-steps2"} and images.scores == {}


@pytest.mark.parametrize(
    ("run", "call", "words"),
    [
        (POINTS, {"n": 0}, "n: 0 samples"),
        (POINTS, {"n": 2, "steps": 4}, "(1, 2, 3)"),
        (POINTS, {"n": 2, "prior": "late"}, "none of standard, fitted"),
        (POINTS, {"n": 2, "labels": 1}, "trained without"),
        (POINTS, {"n": 2, "mid_times": [-1.0]}, "must fall"),
        (POINTS, {"n": 2, "seed": -1}, "no such samples: seed should be greater than"),
        (POINTS, {"n": 10**9}, "no such samples: num_samples should be less than"),
        (IMAGES, {"n": 2, "labels": 10}, "0 to 9"),
        (IMAGES, {"n": 2, "labels": "cat"}, "'cat' is no class"),
        (IMAGES, {"n": 2, "labels": [1, 2, 3]}, "3 for 2 samples"),
    ],
)
def test_what_cannot_be_sampled_is_one_sentence(here, run, call, words):
    with pytest.raises(UserError) as error:
        vct.load(run).sample(**call)
    assert words in str(error.value)


def test_what_cannot_be_encoded_is_one_sentence(here):
    with pytest.raises(UserError, match="no Gaussian noise"):
        vct.load(PAIRED).encode(torch.zeros(1, 2, 1, 1))
    with pytest.raises(UserError, match="shape"):
        vct.load(POINTS).encode(torch.zeros(1, 3, 1, 1))
    with pytest.raises(UserError, match="labels"):
        vct.load(IMAGES).encode(torch.zeros(1, 1, 8, 8))


def test_what_is_no_model_is_one_sentence(here, tmp_path):
    for place in (tmp_path, "params.yaml"):
        with pytest.raises(UserError, match="holds no trained model"):
            vct.load(place)
    with pytest.raises(UserError, match="'small/none/seed0' is no folder, here or in results"):
        vct.load("small/none/seed0")


WITHOUT = (
    *("snakemake", "dvc", "mlflow", "pandas", "matplotlib", "torchvision", "sklearn", "PIL"),
    *("jinja2", "filelock", "ot", "torch_fidelity", "mlxtend"),
)


def test_no_engine_is_needed(here):
    code = f"""
import sys
sys.modules.update(dict.fromkeys({WITHOUT!r}))
import vct
print(tuple(vct.load({POINTS!r}).sample(2).shape))
del sys.modules["filelock"]  # which the Hub's library needs
from vct.lab.reuse.hub import HubModel
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout.strip() == "(2, 2, 1, 1)", ran.stderr


def test_samples_start_from_the_prior_of_the_coupling(here, monkeypatch):
    before = {prior: vct.load(POINTS).sample(8, prior=prior) for prior in ("standard", "fitted")}
    monkeypatch.setattr(Variational, "start", lambda self, eps, labels=None: 2 * eps)
    model = vct.load(POINTS)
    assert torch.equal(model.sample(8, prior="fitted"), before["fitted"])
    assert not torch.allclose(model.sample(8), before["standard"])
