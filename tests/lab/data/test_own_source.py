"""What an own source gives is looked at once, before anything of it is kept."""

from types import SimpleNamespace

import numpy as np
import pytest

from vct.lab.data import dataset
from vct.lab.data.sources.base import Source, Split
from vct.lab.errors import UserError

IMAGES = np.zeros((4, 1, 2, 2), np.uint8)
POINTS = np.ones((4, 2, 1, 1), np.float32)
LABELS = np.arange(4) % 2


def source(x=IMAGES, labels=LABELS, classes=2, test=None, **extra):
    return Source(Split(x, labels), test or Split(x, labels), classes, extra)


def pieces(*items, classes=2, extra=None):
    return SimpleNamespace(classes=classes, extra=extra or {}, pieces=lambda: iter(items))


GOOD = Split(IMAGES, LABELS)
HOLED = np.where(np.arange(8).reshape(4, 2, 1, 1) == 3, np.nan, POINTS)


def test_arrays_and_pieces_are_taken_and_extra_facts_are_kept(tmp_path):
    modes = {"means": [[0.0, 1.0]], "std": 0.1}
    written = [
        source(),
        source(POINTS, labels=np.full(4, -1), classes=0, modes=modes, note={"by": ["me"]}),
        pieces(("test", GOOD), ("train", GOOD), ("test", GOOD)),
    ]
    for given in written:
        meta = dataset.write("own", given, {"source": "mine.Faces"}, tmp_path)
        assert dataset.load("own", tmp_path).meta == meta
        assert meta.modes is None or meta.modes.means == modes["means"]
        assert meta.content().get("note") == given.extra.get("note")
    assert (meta.train, meta.test) == (4, 8)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (None, "it returns NoneType, not vct.lab.data.sources.base.Source"),
        ({"train": IMAGES}, "it returns dict"),
        (source(classes="two"), "classes is 'two', not the number"),
        (source(classes=True), "classes is True"),
        (source(classes=-1), "classes is -1"),
        (pieces(("train", IMAGES)), "a piece is not"),
        (pieces(("val", GOOD)), "a piece is not"),
        (pieces(GOOD), "a piece is not"),
        (pieces(), "train: there are no data"),
        (pieces(("train", GOOD)), "test: there are no data"),
        (source(IMAGES.tolist()), "train: x and labels are not both numpy arrays"),
        (source(labels=LABELS.tolist()), "x and labels are not both numpy arrays"),
        (source(IMAGES[:, 0]), "train: x has shape (4, 2, 2), not (N, C, H, W)"),
        (source(test=Split(IMAGES[:0], LABELS[:0])), "test: x has shape (0, 1, 2, 2)"),
        (source(IMAGES.astype(np.float64)), "x has type float64, not uint8 (images) or float32"),
        (source(POINTS.astype(">f4")), "x has type >f4"),
        (source(test=Split(POINTS, LABELS)), "test: x is float32 (2, 1, 1) after uint8 (1, 2, 2)"),
        (source(IMAGES.repeat(2, axis=1)), "train: images have 2 channels, not 1 or 3"),
        (source(HOLED.astype(np.float32)), "x has values that are not finite"),
        (source(labels=LABELS.astype(np.int32)), "labels are int32 (4,), not int64 (4,)"),
        (source(labels=LABELS[:3]), "labels are int64 (3,), not int64 (4,)"),
        (source(test=Split(IMAGES, LABELS + 1)), "test: a label is not in 0..1"),
        (source(labels=LABELS - 1), "train: a label is not in 0..1"),
        (source(classes=0), "a label is not in -1..-1"),
        (source(modes={"means": []}), "modes.means list should have at least 1 item"),
        (source(modes={"means": [[0.0] * 3], "std": 1.0}), "modes.means should have 4 numbers"),
        (source(modes={"means": [[0.0] * 4], "std": 0.0}), "modes.std should be greater than 0"),
        (source(array=IMAGES), "meta.json cannot hold its extra facts"),
        (pieces(("train", GOOD), ("test", GOOD), extra=[1]), "meta.json cannot hold its extra"),
    ],
    ids=range(29),
)
def test_what_is_wrong_is_one_sentence_and_what_was_there_stays(tmp_path, given, sentence):
    dataset.write("own", source(), {}, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    for name in ("own", "new"):
        with pytest.raises(UserError) as caught:
            dataset.write(name, given, {}, tmp_path)
        message = str(caught.value)
        assert message.startswith(f"the source of data set '{name}' gives no sound data: ")
        assert sentence in message and "\n" not in message
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before
    assert not (tmp_path / "data/new").exists()


def test_extra_facts_replace_none_of_the_common_ones(tmp_path):
    given = source(sha256="forged", train=99, shape=[9, 9, 9])
    meta = dataset.write("own", given, {}, tmp_path)
    assert (meta.train, meta.shape) == (4, [1, 2, 2]) and meta.sha256 != "forged"
