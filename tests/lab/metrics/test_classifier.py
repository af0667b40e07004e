"""The classifier learns, is reproducible bit by bit, and its files are whole or refused."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from vct.lab.errors import UserError
from vct.lab.metrics.extractors.base import file_sha256, find_extractor
from vct.lab.metrics.extractors.classifier import (
    Classifier,
    load_classifier,
    save_classifier,
    train_classifier,
)


def test_learns_the_digits(trained):
    assert trained.accuracy >= 0.97
    assert not trained.model.training


def test_the_same_seed_gives_the_same_bits_whatever_the_caller_did(digits, tmp_path):
    x, y = digits
    threads = torch.get_num_threads()
    files = []
    for name, seed, caller in [("a", 1, 5), ("b", 1, 6), ("c", 2, 5)]:
        torch.manual_seed(caller)
        model, _ = train_classifier(x[:200], y[:200], x[200:250], y[200:250], epochs=1, seed=seed)
        assert torch.initial_seed() == caller
        files.append(tmp_path / name)
        save_classifier(files[-1], model)
    first, same, other = (path.read_bytes() for path in files)
    assert first == same
    assert first != other
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 14, 14), (1, 28, 28), (3, 32, 32), (2, 4, 7)])
def test_every_shape_gives_64_features(shape):
    model = Classifier(shape, 10, width=4).eval()
    images = torch.randint(256, (5, *shape), dtype=torch.uint8)
    features = model.features(images)
    assert features.shape == (5, 64)
    assert model(images).shape == (5, 10)
    torch.testing.assert_close(model.head(features), model(images))


def test_no_feature_is_dead(trained, digits):
    with torch.no_grad():
        features = trained.model.features(torch.tensor(digits[0][:500]))
    assert np.linalg.matrix_rank(np.cov(features.double().numpy(), rowvar=False)) == 64


def test_a_saved_classifier_comes_back(trained, weights, digits):
    model = load_classifier(weights)
    assert not model.training and model.shape == (1, 8, 8)
    images = torch.tensor(digits[0][:50])
    with torch.no_grad():
        assert torch.equal(model.features(images), trained.model.features(images))


def test_loading_leaves_the_random_state_alone(weights):
    before = torch.get_rng_state()
    load_classifier(weights)
    assert torch.equal(before, torch.get_rng_state())


def test_the_extractor_is_found_by_its_kind(weights, digits):
    extractor = find_extractor("classifier", weights)
    assert (extractor.name, extractor.features, extractor.shape) == ("classifier", 64, (1, 8, 8))
    assert extractor.sha256 == file_sha256(weights)
    features = extractor.build()(torch.tensor(digits[0][:3]))
    assert features.shape == (3, 64) and features.dtype == torch.float64


def test_an_unknown_kind_names_the_nearest(weights):
    with pytest.raises(UserError, match="classifier"):
        find_extractor("clasifier", weights)


def damage_cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def damage_flip(path):
    """A bit of a weight: whole for safetensors, and another metric for the reader."""
    content = bytearray(path.read_bytes())
    content[-50] ^= 1
    path.write_bytes(content)


def damage_text(path):
    path.write_text("not a safetensors file at all, but text")


def damage_foreign(path):
    save_file({"weight": torch.zeros(3)}, path)


def damage_metadata(path):
    save_file(load_file(path), path, {"classifier": '{"format": "vct-classifier-1"}'})


def damage_empty(path):
    path.write_bytes(b"")


def damage_missing(path):
    path.unlink()


@pytest.mark.parametrize(
    "damage",
    [
        damage_cut,
        damage_flip,
        damage_text,
        damage_foreign,
        damage_metadata,
        damage_empty,
        damage_missing,
    ],
)
def test_a_damaged_foreign_or_missing_file_is_refused(damage, weights, tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(weights.read_bytes())
    damage(path)
    with pytest.raises(UserError, match=r"weights\.safetensors"):
        find_extractor("classifier", path)


def test_data_that_do_not_fit_are_refused(digits):
    x, y = (part[:20] for part in digits)
    for arguments in [
        (x.astype(np.float32), y, x, y),
        (x, y[:-1], x, y),
        (x[:0], y[:0], x, y),
        (x, y, np.repeat(x, 3, axis=1), y),
        (x, np.zeros_like(y), x, y),
        (x, y - 1, x, y),
        (x[..., :3], y, x[..., :3], y),
    ]:
        with pytest.raises(UserError):
            train_classifier(*arguments, epochs=1)


def test_a_diverged_training_says_so(digits):
    x, y = (part[:64] for part in digits)
    with pytest.raises(UserError, match="learning_rate"):
        train_classifier(x, y, x, y, epochs=2, learning_rate=1e36)
