"""The small settings of a suite: what must stay what it is, what shrinks, and how it is called."""

import pytest
from dvc.utils.serialize import load_yaml
from support import params, real_params

from vct.lab.errors import UserError
from vct.lab.files.layout import pretrained_source
from vct.lab.settings import reading
from vct.lab.settings.data import StandInSettings
from vct.lab.workflow.smoke import BATCH, SAMPLES, reduced_suite
from vct.lab.workflow.trial import lay_out

PARAMS = reading.validate(real_params())
CHANGED = {"dataset", "batch_size", "steps", "log_every", "snapshots", "initial_weights", "ema"}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A project in which no raw data and no weights lie."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def paper(here):
    return reduced_suite(PARAMS, "paper", 3)


def test_every_row_of_the_suite_is_there(paper):
    rows = {
        (run.experiment, run.coupling)
        for name in paper.suite("smoke-paper")
        for run in paper.runs(name)
    }
    expected = {
        (f"smoke-{run.experiment}", run.coupling)
        for name in PARAMS.suite("paper")
        for run in PARAMS.runs(name)
    }
    assert rows == expected


@pytest.mark.parametrize("name", PARAMS.suite("paper"))
def test_the_method_stays(name, paper):
    before, after = PARAMS.experiments[name], paper.experiments[f"smoke-{name}"]
    kept = set(type(before.train).model_fields) - CHANGED
    assert {"network", "objective", "kernel", "optimizer", "conditional", "precision"} < kept
    for field in kept:
        assert getattr(after.train, field) == getattr(before.train, field)
    assert after.train.ema == before.train.ema
    assert after.couplings == before.couplings
    assert after.sample.mid_times == before.sample.mid_times
    assert (after.train.steps, after.train.batch_size) == (3, BATCH)
    assert after.sample.num_samples == SAMPLES
    assert paper.runtime.device == "cpu"


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("fashion-mnist", (1, 28, 10)),
        ("cifar10", (3, 32, 10)),
        ("ffhq64", (3, 64, 0)),
        ("imagenet64", (3, 64, 1000)),
    ],
)
def test_stand_ins_have_the_shape_and_the_classes_of_the_data(name, shape, paper):
    settings = paper.datasets[f"stand-in-{name}"]
    assert isinstance(settings, StandInSettings)
    assert (settings.channels, settings.size, settings.classes) == shape
    assert settings.train >= settings.classes  # of each an image, for a conditional training
    assert settings.of == name


def test_no_number_can_be_taken_for_a_result(paper):
    """Rows, columns and references are called otherwise than in any real table."""
    assert not set(paper.experiments) & set(PARAMS.experiments)
    assert not set(paper.extractors) & set(PARAMS.extractors)
    assert all(name.startswith("stand-in-") for name in paper.datasets)
    assert {kind.kind for kind in paper.extractors.values()} == {"efficientnet-lite0"}


def put(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def test_what_is_at_hand_is_used(here):
    from vct.lab.metrics.extractors.inception import FILE

    checkpoint = "edm-ffhq-64x64-uncond-vp"
    put(here / "data/raw/ffhq64/1.png")
    put(here / pretrained_source(checkpoint))
    put(here / FILE)
    found = reduced_suite(PARAMS, "paper", 1)
    data = found.datasets["ffhq64"].model_dump()
    assert data["limit"] == 192 and data["test"] == 64 and data["source"] == "image_folder"
    started = found.experiments["smoke-ecm-ffhq64-ve"].train
    assert started.dataset == "ffhq64"
    assert started.initial_weights == f"pretrained/{checkpoint}.safetensors"
    assert found.experiments["smoke-ecm-cifar10-ve"].train.initial_weights is None
    assert found.experiments["smoke-ecm-cifar10-ve"].train.dataset == "stand-in-cifar10"
    assert found.extractors["smoke-inception"].kind == "inception"
    extras = found.experiments["smoke-ict-cifar10-ve"].score.extras
    assert extras == ["kid", "precision_recall", "inception_score"]


def test_a_part_of_what_is_at_hand_has_images_of_all_classes(here):
    put(here / "data/raw/imagenet64/1.png")
    data = reduced_suite(PARAMS, "paper", 1).datasets["imagenet64"].model_dump()
    assert data["limit"] - data["test"] == data["classes"] == 1000


def test_a_diffusion_network_that_is_trained_first_is_trained_here_too():
    content = real_params()
    start = "results/cifar10-edm/independent/seed0/model.safetensors"
    content["experiments"]["ecm-cifar10-ve"]["train"]["initial_weights"] = start
    found = reduced_suite(reading.validate(content), "paper", 1)
    renamed = "results/smoke-cifar10-edm/independent/seed0/model.safetensors"
    assert found.experiments["smoke-ecm-cifar10-ve"].train.initial_weights == renamed
    assert found.experiments["smoke-cifar10-edm"].sample.sampler.steps == 3
    assert "smoke-cifar10-edm" not in found.suite("smoke-paper")


@pytest.mark.parametrize("suite", PARAMS.suites)
def test_every_suite_has_a_smoke_suite_that_reads_back(suite):
    found = reduced_suite(PARAMS, suite, 1)
    assert reading.validate(found.model_dump(mode="json")) == found


def test_long_names_stay_names_and_stay_apart():
    content = real_params()
    first, second = ("x" * 62 + end for end in "ab")
    mixture = content["experiments"]["mixture"]
    content["experiments"] |= {first: mixture, second: mixture}
    content["suites"] = {"y" * 64: [first, second]}
    found = reduced_suite(reading.validate(content), "y" * 64, 1)
    assert len(found.experiments) == 2


def test_an_imported_checkpoint_is_at_hand_without_the_published_file(here):
    imported = here / "pretrained/edm-ffhq-64x64-uncond-vp.safetensors"
    put(imported)
    start = (
        reduced_suite(PARAMS, "paper", 1).experiments["smoke-ecm-ffhq64-ve"].train.initial_weights
    )
    assert start is None
    put(imported.with_suffix(".json"))
    start = (
        reduced_suite(PARAMS, "paper", 1).experiments["smoke-ecm-ffhq64-ve"].train.initial_weights
    )
    assert start == "pretrained/edm-ffhq-64x64-uncond-vp.safetensors"


def test_an_empty_folder_is_no_data(here):
    (here / "data/raw/ffhq64").mkdir(parents=True)
    assert "stand-in-ffhq64" in reduced_suite(PARAMS, "paper", 1).datasets


def test_kept_averages_need_two_steps():
    content = real_params()
    content["experiments"]["mixture"]["train"]["ema"] = {"kind": "post_hoc"}
    params = reading.validate(content)
    assert reduced_suite(params, "cpu", 2).experiments["smoke-mixture"].train.ema.kept == 2
    with pytest.raises(UserError, match="--steps must be at least 2"):
        reduced_suite(params, "cpu", 1)


def test_unknown_suite():
    with pytest.raises(UserError, match="did you mean paper"):
        reduced_suite(PARAMS, "papr", 1)


def test_the_written_settings_are_what_was_meant_to_all_who_read_them(here):
    """Floats without a point, and names that look like numbers."""
    content = params({"experiments.small.train.optimizer.learning_rate": 1e-05})
    small = content["experiments"]["small"]
    small["couplings"]["1e3"] = {"kind": "ot"}
    small["variants"] = ["1e3"]
    reduced = reduced_suite(reading.validate(content), "one", 3)
    lay_out(here / "smoke", reduced)
    assert reading.load(here / "smoke/params.yaml") == reduced
    assert load_yaml(here / "smoke/params.yaml") == reduced.model_dump(mode="json")
