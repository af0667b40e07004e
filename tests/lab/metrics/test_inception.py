"""The Inception network from a file of the published layout, with weights of chance."""

import io
import os
import socket

import numpy as np
import pytest
import torch
import yaml
from support import params
from torch_fidelity import feature_extractor_inceptionv3 as theirs

from vct.lab import cli
from vct.lab.files.layout import extractor_dir
from vct.lab.files.whole import file_sha256
from vct.lab.metrics.extractors import inception
from vct.lab.metrics.features import LARGE_ON_CPU, Features

WEIGHTS = extractor_dir("inception") / "weights.safetensors"


class Drawn(theirs.FeatureExtractorInceptionV3):
    """Keeps the weights that it was made with."""

    def load_state_dict(self, state, *_, **__):
        assert state == {}


def drawn():
    """An Inception network whose activations neither die nor explode."""
    file = io.BytesIO()
    torch.save({}, file)
    file.seek(0)
    network = Drawn("drawn", ["2048"], file)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    return network


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A file as torch-fidelity's author publishes it."""
    path = tmp_path_factory.mktemp("published") / "weights.pth"
    torch.save(drawn().state_dict(), path)
    return path


def settings(**inception):
    """params.yaml with this extractor beside a classifier and a packaged one."""
    return yaml.safe_dump(
        params(
            {
                "runtime.tracking": False,
                "extractors.inception": {"kind": "inception", **inception},
                "extractors.lite0": {"kind": "efficientnet-lite0"},
            }
        )
    )


@pytest.fixture
def project(tmp_path, published, monkeypatch):
    """The current folder; the weights are not there yet, and their hash is that of `published`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(inception, "SHA256", file_sha256(published))
    (tmp_path / "params.yaml").write_text(settings())
    return tmp_path


def give(published, project):
    (project / "pretrained").mkdir()
    os.link(published, project / inception.FILE)


def test_features_and_logits_are_those_of_torch_fidelity(published, project, capsys):
    """To the bit in equal batches, by its own way of loading; of colour and grey images."""
    give(published, project)
    assert cli.main(["extractor", "inception"]) == 0
    assert inception.SHA256 in capsys.readouterr().out
    extractor = inception.InceptionKind().load(WEIGHTS)
    assert extractor.source == (inception.FILE.name, inception.SHA256)
    network = theirs.FeatureExtractorInceptionV3(
        "oracle", ["2048", "logits_unbiased"], str(published)
    )
    images = np.random.default_rng(0).integers(0, 256, (LARGE_ON_CPU, 3, 32, 32), dtype=np.uint8)
    features = Features(extractor)
    for given, seen in ((images, images), (images[:, :1], images[:, [0, 0, 0]])):
        expected = network(torch.tensor(seen))
        assert torch.equal(features(given, logits=True), torch.cat(expected, dim=1))
        assert expected[0].std(dim=0).max() > 0.01  # the images do make a difference
    assert features(images).shape == (LARGE_ON_CPU, inception.FEATURES)


def resized(image, size):
    """Bilinear as TensorFlow 1 has it: output pixel i lies at i * (old size / new size)."""
    for axis in (0, 1):
        old = image.shape[axis]
        place = np.arange(size) * (old / size)
        low = np.floor(place).astype(int)
        share = (place - low).reshape([-1 if axis == other else 1 for other in (0, 1)])
        high = np.minimum(low + 1, old - 1)
        image = np.take(image, low, axis) * (1 - share) + np.take(image, high, axis) * share
    return image


class Seen(Exception):
    pass


def test_the_network_sees_8_bits_resized_as_published_fids_have_them(published, project):
    """The graph of 2015: no half pixel, no antialiasing, no rounding, then (x - 128) / 128."""
    give(published, project)
    assert cli.main(["extractor", "inception"]) == 0
    network = inception.InceptionKind().load(WEIGHTS).build()

    def stop(_, inputs):
        raise Seen(inputs[0])

    network.network.Conv2d_1a_3x3.register_forward_pre_hook(stop)
    draw = np.random.default_rng(1)
    for shape in ((28, 28), (64, 48), (400, 330)):
        image = draw.integers(0, 256, shape, dtype=np.uint8)
        image[0, 0], image[-1, -1] = 0, 255
        with pytest.raises(Seen) as caught:
            network(torch.tensor(image).repeat(1, 3, 1, 1))
        found = caught.value.args[0].numpy()
        assert found.shape == (1, 3, 299, 299) and found.dtype == np.float32
        expected = (resized(image.astype(float), 299) - 128) / 128
        # Rounding to 8 bits, or half a pixel, would be off by more than 1 / 256.
        np.testing.assert_allclose(found[0], np.stack([expected] * 3), atol=1e-3)


def refused(capsys):
    """The one line on stderr of making the extractor, which leaves nothing."""
    assert cli.main(["extractor", "inception"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("vct: error: ") and err.count("\n") == 1, err
    assert not WEIGHTS.parent.exists()
    return err


def test_without_the_file_one_sentence_says_what_to_put_where(project, capsys):
    said = refused(capsys)
    assert f"put torch-fidelity's file {inception.FILE.name} (sha256 {inception.SHA256})" in said
    assert f"at {inception.FILE}, or score with another extractor" in said
    # Another one needs none of this.
    assert cli.main(["extractor", "lite0"]) == 0


def test_without_a_network_too(project, capsys, monkeypatch):
    with socket.socket() as free:  # bound and never listening: connections are refused
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/weights.pth"
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setattr(theirs, "URL_INCEPTION_V3", url)
        (project / "params.yaml").write_text(settings(download=True))
        said = refused(capsys)
    assert "could not be fetched" in said and f"at {inception.FILE}" in said


class Trap:
    def __reduce__(self):
        return (os.mkdir, ("trapped",))


def test_another_file_is_refused_and_not_run(published, project, capsys):
    path = project / inception.FILE
    path.parent.mkdir()
    whole = published.read_bytes()
    for content in (b"", whole[:-1], whole[:1000] + b"x" + whole[1001:]):
        path.write_bytes(content)
        assert f"{inception.FILE} is not the published file" in refused(capsys)
    torch.save({"fc.weight": Trap()}, path)
    for download in (False, True):
        (project / "params.yaml").write_text(settings(download=download))
        assert "is not the published file" in refused(capsys)
    assert not (project / "trapped").exists()


def test_the_hash_is_that_in_the_name():
    """torch.hub writes the first digits of a file's hash into its name."""
    assert inception.FILE.stem.endswith(inception.SHA256[:8])
    assert theirs.URL_INCEPTION_V3.endswith(inception.FILE.name)
    assert len(inception.SHA256) == 64
