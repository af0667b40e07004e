"""What lies in a folder is used only if it belongs together."""

import shutil

import numpy as np
import pytest
import torch
import yaml
from reused import IMAGES, POINTS
from safetensors.torch import load_file, save_file
from support import params

import vct
from vct.lab import cli, versions
from vct.lab.errors import UserError
from vct.lab.files.tensors import load_sealed, save_sealed
from vct.lab.reuse.model import LoadedModel

RUN = "small/variational/seed0"
POST_HOC = {"kind": "post_hoc", "widths": [0.05, 0.1], "kept": 4}


@pytest.fixture
def copied(project, tmp_path, monkeypatch):
    """The project, to be broken."""
    shutil.copytree(project, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def change(folder, **train):
    path = folder / "params.yaml"
    content = yaml.safe_load(path.read_text())
    content["experiments"]["small"]["train"] |= train
    path.write_text(yaml.safe_dump(content))


def test_prior_and_scores_of_earlier_weights_are_not_those_of_these(copied):
    change(copied, steps=24)
    assert cli.main(["train", POINTS]) == 0
    with pytest.raises(UserError, match="of other weights or data"):
        vct.load(POINTS)
    (copied / "results" / POINTS / "prior.safetensors").unlink()
    model = vct.load(POINTS)
    assert model.scores == {} and model.description.record.protocol is None


def test_data_that_were_made_otherwise_are_not_said_to_be_absent(copied):
    content = yaml.safe_load((copied / "params.yaml").read_text())
    content["datasets"]["points"]["std"] = 0.2
    (copied / "params.yaml").write_text(yaml.safe_dump(content))
    assert cli.main(["data", "points"]) == 0
    with pytest.raises(UserError, match=r"trained on other data than .*data/points holds"):
        vct.load(POINTS)


def fitted_otherwise(folder, **facts):
    """Let the prior of a run say that it was fitted so."""
    path = folder / "results" / POINTS / "prior.safetensors"
    found, tensors = load_sealed(path, "prior", "")
    save_sealed(path, "prior", found | facts, tensors)


@pytest.mark.parametrize(
    "facts",
    [{"ema_width": 0.05}, {"version": versions.SAMPLING - 1}, {"data_sha256": "0" * 64}],
)
def test_prior_of_another_average_version_or_data_is_not_that_of_these_weights(copied, facts):
    fitted_otherwise(copied, **facts)
    (what,) = facts
    with pytest.raises(UserError, match=rf"\({what}\); make it again: vct prior {POINTS}"):
        vct.load(POINTS)


def test_the_start_of_another_prior_changes_nothing_of_the_fitted_one(copied):
    expected = vct.load(POINTS).sample(4, prior="fitted")
    fitted_otherwise(copied, late_start=5.0)
    assert torch.equal(vct.load(POINTS).sample(4, prior="fitted"), expected)


def test_scores_of_another_run_are_not_shown(copied):
    run = copied / "results" / POINTS
    assert vct.load(POINTS).scores
    text = (run / "metrics.json").read_text()
    (run / "metrics.json").write_text(text.replace("0.", "1.", 1))
    assert vct.load(POINTS).scores == {}


def test_averages_are_those_that_were_recorded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    changes = {
        "runtime.tracking": False,
        "experiments.small.train.ema": POST_HOC,
        "experiments.small.sample.ema_width": 0.1,
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params(changes)))
    for stage in (["data", "points"], ["train", RUN], ["sample", RUN]):
        assert cli.main(stage) == 0
    with np.load(f"results/{RUN}/samples.npz") as file:
        np.testing.assert_array_equal(vct.load(RUN).sample(16).numpy(), file["steps1"])
    path = tmp_path / "results" / RUN / "averages.safetensors"
    save_file({name: 1.5 * x for name, x in load_file(path).items()}, path)
    with pytest.raises(UserError, match=r"averages.safetensors is not the file"):
        vct.load(RUN)


def test_own_class_that_was_edited_since_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    code = (
        "from vct import Coupling\n\n\nclass Mine(Coupling):\n"
        "    def couple(self, x, eps, labels=None):\n        return {}eps\n"
    )
    (tmp_path / "edited_coupling.py").write_text(code.format(""))
    changes = {
        "runtime.tracking": False,
        "experiments.small.variants": ["mine"],
        "experiments.small.couplings": {"mine": {"kind": "edited_coupling.Mine"}},
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params(changes)))
    for stage in (["data", "points"], ["train", "small/mine/seed0"]):
        assert cli.main(stage) == 0
    assert vct.load("small/mine/seed0").sample(2).shape == (2, 2, 1, 1)
    (tmp_path / "edited_coupling.py").write_text(code.format("3 * "))
    with pytest.raises(UserError, match=r"trained with code of .* not here, or not as it was"):
        vct.load("small/mine/seed0")


def test_results_on_another_disk_are_found_by_their_link(copied, tmp_path):
    expected = vct.load(POINTS).sample(3)
    (copied / "results").rename(tmp_path / "disk")
    (copied / "results").symlink_to(tmp_path / "disk")
    assert torch.equal(vct.load(f"results/{POINTS}").sample(3), expected)
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    assert cli.main(["export", POINTS, str(tmp_path / "link")]) == 0
    assert (tmp_path / "there/config.json").exists() and (tmp_path / "link").is_symlink()


def test_stratified_noise_of_some_samples_is_that_of_the_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    changes = {"runtime.tracking": False, "experiments.small.sample.noise": "sobol"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params(changes)))
    for stage in (["data", "points"], ["train", RUN], ["sample", RUN]):
        assert cli.main(stage) == 0
    with np.load(f"results/{RUN}/samples.npz") as file:
        x = vct.load(RUN).sample(5, steps=2).numpy()
        np.testing.assert_allclose(x, file["steps2"][:5], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("times", [[200.0], [0.5, 0.8], [2.0, 0.0001]])
def test_times_that_do_not_fall_are_refused(here, times):
    with pytest.raises(UserError, match="must fall"):
        vct.load(POINTS).sample(2, mid_times=times)


def test_times_of_your_own_are_all_used(here):
    model = vct.load(POINTS)
    x = model.sample(4, mid_times=[3.0, 0.4])
    assert torch.equal(x, model.sample(4, steps=3, mid_times=[3.0, 0.4]))
    assert not torch.equal(x, model.sample(4))


def test_kinds_of_labels(here):
    model = vct.load(IMAGES)
    third = model.sample(4, labels=3)
    for same in (np.int64(3), "3", np.full(4, 3), ["3"] * 4):
        assert torch.equal(model.sample(4, labels=same), third)
    with pytest.raises(UserError, match="no class"):
        model.sample(2, labels=[1.9, 2.2])


@pytest.fixture
def with_names(here, monkeypatch):
    """A model whose classes are called so."""

    def named(*names):
        monkeypatch.setattr(LoadedModel, "class_names", [*names])
        return vct.load(IMAGES)

    return named


def test_a_number_that_is_the_name_of_another_class_is_refused(with_names):
    """Folders 0 to 11 stand in the order of words."""
    model = with_names(*sorted(str(number) for number in (0, 1, 10, 11, 2, 3, 4, 5, 6, 7)))
    for same in (0, "0"):  # which both mean the first
        assert torch.equal(model.sample(4, labels=same), model.sample(4, labels=["0"] * 4))
    assert not torch.equal(model.sample(4, labels="2"), model.sample(4, labels="10"))
    for number in (2, np.int64(2), [2, 2], torch.full((2,), 2), " 2"):
        with pytest.raises(
            UserError, match=r"number 2 is class '10' .* '2' is the name of another"
        ):
            model.sample(2, labels=number)


def test_numbers_and_names_that_agree_are_the_same_class(with_names):
    third = vct.load(IMAGES).sample(4, labels=3)
    words = with_names("a", "b", "c", "d", "e", "f", "g", "h", "i", "j")
    for same in (3, "3", "d"):
        assert torch.equal(words.sample(4, labels=same), third)
    padded = with_names(*(f"{number:02}" for number in range(10)))
    for same in (3, "3", "03"):
        assert torch.equal(padded.sample(4, labels=same), third)


def test_the_folder_of_a_run_is_never_saved_to(copied):
    hub = pytest.importorskip("vct.lab.reuse.hub")
    folder = copied / "results" / POINTS
    before = (folder / "config.json").read_bytes()
    with pytest.raises(UserError, match="the folder of a run"):
        hub.HubModel.from_pretrained(str(folder)).save_pretrained(folder)
    assert (folder / "config.json").read_bytes() == before
