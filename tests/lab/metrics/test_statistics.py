"""Statistics of reference images: moments, features one by one, and what their files are of."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from vct.lab.errors import UserError
from vct.lab.files.layout import StatisticsId
from vct.lab.metrics import extras, statistics
from vct.lab.metrics.extractors.base import Extractor
from vct.lab.metrics.features import Features
from vct.lab.records import ExtractorRecord

PLACES = {what: StatisticsId("digits", "net", what) for what in ("moments", "features")}
NET = ExtractorRecord(name="net", kind="net", sha256="ab" * 32, features=4)


class Blocks(nn.Module):
    """Means of 2 x 2 blocks, in the precision of `scale`."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, images):
        return nn.functional.adaptive_avg_pool2d(images / self.scale, (2, 2)).flatten(1)


def features(dtype=torch.float32):
    scale = torch.tensor(64, dtype=dtype)
    return Features(Extractor(4, (1, 8, 8), lambda: Blocks(scale)))


@pytest.fixture
def here(data, tmp_path, monkeypatch):
    """A data set; the current folder is empty."""
    monkeypatch.chdir(tmp_path)
    return data


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_moments_are_mean_and_covariance(dtype, data):
    found = statistics.compute("moments", data.train.x, features(dtype))
    rows = features(dtype)(data.train.x).numpy()
    np.testing.assert_allclose(found["mu"], rows.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found["sigma"], np.cov(rows, rowvar=False), rtol=1e-12)
    assert found["mu"].dtype == dtype and found["sigma"].dtype == torch.float64


def test_moments_of_pieces_are_those_of_the_whole(data, monkeypatch):
    whole = statistics.compute("moments", data.train.x, features(torch.float64))
    monkeypatch.setattr(statistics, "PIECE", 50)
    parts = statistics.compute("moments", data.train.x, features(torch.float64))
    for name, expected in whole.items():
        torch.testing.assert_close(parts[name], expected, rtol=1e-12, atol=1e-14)


def test_features_are_those_that_are_compared(data, monkeypatch):
    x = data.train.x[:100]
    rows = features()(x)
    assert torch.equal(statistics.compute("features", x, features())["features"], rows)
    monkeypatch.setattr(extras, "REFERENCE", 60)
    part = statistics.compute("features", x, features())["features"]
    assert torch.equal(part, rows[extras.chosen(100)])


@pytest.mark.parametrize("what", PLACES)
def test_files_give_the_bits_that_were_computed(what, here):
    statistics.write(PLACES[what], here, features(), NET)
    found = statistics.read(PLACES[what], here, NET)
    expected = statistics.compute(what, here.train.x, features())
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert PLACES[what].file.is_file()


def test_files_of_other_data_weights_or_code_are_refused(here, monkeypatch):
    place = PLACES["moments"]
    with pytest.raises(UserError, match="missing; make it with: vct statistics digits/net/moments"):
        statistics.read(place, here, NET)
    statistics.write(place, here, features(), NET)
    other = replace(here, meta=here.meta.model_copy(update={"sha256": "ef" * 32}))
    weights = NET.model_copy(update={"sha256": "ef" * 32})
    code = NET.model_copy(update={"own_code": {"mine.Net": "ef" * 32}})
    for data, net in ((other, NET), (here, weights), (here, code)):
        with pytest.raises(UserError, match="of other data, another extractor or another version"):
            statistics.read(place, data, net)
    monkeypatch.setattr("vct.lab.versions.SCORING", 99)
    with pytest.raises(UserError, match="make it again: vct statistics digits/net/moments"):
        statistics.read(place, here, NET)


def test_images_that_have_no_moments_are_refused(data):
    with pytest.raises(UserError, match="1 reference images; a Fréchet distance needs two"):
        statistics.compute("moments", data.train.x[:1], features())
    with pytest.raises(UserError, match="takes images of shape"):
        statistics.compute("moments", data.train.x[:, :, :7], features())


@pytest.mark.parametrize("text", ["digits/net", "digits/net/sigma", "a/../b/moments", ""])
def test_a_name_of_statistics_has_three_parts(text):
    with pytest.raises(UserError, match="names no statistics"):
        StatisticsId.parse(text)


def test_names_come_back():
    for place in PLACES.values():
        assert StatisticsId.parse(str(place)) == place
