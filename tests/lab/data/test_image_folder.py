"""A folder or an archive of images to a data set: every image once, with its label, or one
sentence and nothing written."""

import json
import shutil

import numpy as np
import pytest
from raw_images import encoded, images, names, pixels, write
from support import MLP, run_settings

from vct.lab import build
from vct.lab.data import dataset
from vct.lab.data.sources import image_folder
from vct.lab.data.sources.image_folder import ImageFolder
from vct.lab.errors import UserError
from vct.lab.records import LeftOutRecord

RAW = "data/raw"
BYTES = 3 * 8 * 8
"""Of one decoded image."""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Sources look for data/raw in the current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(raw="x", test=3, **options):
    return ImageFolder(raw, test, **options)


def made(here, files, raw="x", **changes):
    """The data set that is made of raw files."""
    if files is not None:
        write(here / RAW / raw, files)
    dataset.write("made", listed(raw=raw, **changes), {}, here)
    return dataset.load("made", here)


def refused(here, files, **changes):
    """The sentence that stops the making, which leaves no file behind."""
    with pytest.raises(UserError) as caught:
        made(here, files, **changes)
    assert not (here / "data/made").exists()
    message = str(caught.value)
    assert message.startswith(f"{RAW}/x")
    assert "\n" not in message
    return message


def rows(*arrays):
    flat = np.concatenate([np.asarray(array).reshape(len(array), -1) for array in arrays])
    return flat[np.lexsort(flat.T)]


@pytest.mark.parametrize("raw", ["x", "x.zip"])
@pytest.mark.parametrize("chunk", [1, 4 * BYTES, 2**24])
def test_every_image_is_there_once_in_the_order_of_names(here, monkeypatch, raw, chunk):
    monkeypatch.setattr(image_folder, "CHUNK", chunk)
    files = images(names("", "a/b", "c"))
    data = made(here, files, raw)
    expected = np.stack([pixels(index).transpose(2, 0, 1) for index in range(12)])
    assert (len(data.train.x), len(data.test.x)) == (9, 3)
    assert np.array_equal(rows(data.train.x, data.test.x), rows(expected))
    by_bytes = {image.tobytes(): index for index, image in enumerate(expected)}
    ordered = sorted(files)
    for split in (data.train, data.test):
        found = [list(files)[by_bytes[image.tobytes()]] for image in split.x]
        assert found == sorted(found, key=ordered.index)


@pytest.mark.parametrize("test", [2, "own"])
def test_a_limit_takes_images_of_all_classes(here, test):
    top = ["train/", "test/"] if test == "own" else [""]
    files = images(names(*(f"{part}{name}" for part in top for name in ("cat", "dog", "owl"))))
    data = made(here, files, limit=6, test=test, labels="folders")
    assert (len(data.train.x), len(data.test.x)) == ((6, 6) if test == "own" else (4, 2))
    labels = np.concatenate([data.train.labels, data.test.labels])
    assert data.meta.classes == 3 and set(labels) == {0, 1, 2}
    # Each still has the label of its own folder.
    whole = made(here, None, test=test, labels="folders")
    by_bytes = {
        image.tobytes(): label
        for split in (whole.train, whole.test)
        for image, label in zip(split.x, split.labels, strict=True)
    }
    for split in (data.train, data.test):
        found = [by_bytes[image.tobytes()] for image in split.x]
        assert found == split.labels.tolist()


def test_a_limit_of_a_class_each_keeps_the_number_of_classes(here):
    files = images(names("cat", "dog", "owl", count=2))
    data = made(here, files, limit=4, test=3, labels="folders", classes=3)
    assert data.meta.classes == 3


def test_a_wrong_number_of_classes_is_refused(here):
    files = images(names("cat", "dog"))
    assert "holds 2 classes and not 3" in refused(here, files, labels="folders", classes=3)


def test_folder_and_archive_give_the_same_bytes(here):
    files = images(names("dog", "cat"))
    first = made(here, files, labels="folders")
    kept = (here / "data/made/train_x.npy").read_bytes()
    second = made(here, files, "x.zip", labels="folders")
    assert first.sha256 == second.sha256
    assert (here / "data/made/train_x.npy").read_bytes() == kept


def test_held_out_images_depend_on_the_seed_alone(here):
    files = images(names("", count=20))
    first, again, other = (made(here, files, seed=seed).sha256 for seed in (0, 0, 1))
    assert first == again != other


def test_without_labels(here):
    data = made(here, images(names("a", "b")))
    assert data.meta.classes == 0
    assert set(data.train.labels) == {-1}
    assert "class_names" not in data.meta.model_extra


def test_class_folders_are_numbered_by_name(here):
    files = images(names("dog", "cat", "cat/kitten"))
    data = made(here, files, labels="folders")
    assert data.meta.model_extra["class_names"] == ["cat", "dog"]
    assert data.meta.classes == 2
    labelled = {
        pixels(index).transpose(2, 0, 1).tobytes(): name for index, name in enumerate(files)
    }
    for split in (data.train, data.test):
        for image, label in zip(split.x, split.labels, strict=True):
            assert labelled[image.tobytes()].startswith(["cat", "dog"][label])


def test_own_split_with_class_folders(here):
    files = images(names("train/a", "train/b", "test/b"))
    data = made(here, files, test="own", labels="folders")
    assert data.meta.model_extra["class_names"] == ["a", "b"]
    assert np.array_equal(data.test.x, [pixels(8 + i).transpose(2, 0, 1) for i in range(4)])
    assert data.test.labels.tolist() == [1] * 4
    assert data.train.labels.tolist() == [0] * 4 + [1] * 4


def edm(files, labels):
    return {**files, "dataset.json": json.dumps({"labels": labels}).encode()}


@pytest.mark.parametrize("raw", ["x", "x.zip"])
def test_layout_of_edms_tool(here, raw):
    files = images([f"0000{i // 4}/img{i:08d}.png" for i in range(8)])
    labels = [[name, (3 * index) % 5] for index, name in enumerate(files)]
    data = made(here, edm(files, labels[::-1]), raw, labels="json")
    assert data.meta.classes == 5
    known = {pixels(i).transpose(2, 0, 1).tobytes(): (3 * i) % 5 for i in range(8)}
    for split in (data.train, data.test):
        assert [known[image.tobytes()] for image in split.x] == split.labels.tolist()


def test_size_and_channels(here):
    files = {
        "a.png": encoded(pixels(0, 20, 30)),
        "b.jpeg": encoded(pixels(1, 9, 4), "JPEG"),
        "C.JPG": encoded(pixels(2, 6, 6, channels=1), "JPEG"),
        "d.webp": encoded(pixels(3, 6, 6), "WEBP"),
        "e.bmp": encoded(pixels(4, 6, 6), "BMP"),
    }
    for channels in (1, 3):
        data = made(here, files, size=6, channels=channels)
        assert data.shape == (channels, 6, 6)
        assert len(data.train.x) == 2
        assert data.train.x.dtype == np.uint8


@pytest.mark.parametrize("raw", ["x", "x.zip"])
def test_other_files_are_left_out_counted_and_named(here, raw, capsys):
    others = {"README.txt": b"hello", "clip.mp4": b"x", ".hidden.png": b"y", "@eaDir/0.png": b"z"}
    data = made(here, {**images(names("")), **others}, raw)
    assert data.meta.train == 1
    named = [".hidden.png", "@eaDir/", "README.txt", "clip.mp4"]
    assert data.meta.left_out == LeftOutRecord(count=4, names=named)
    assert f"left out: 4 other files ({', '.join(named)})" in capsys.readouterr().err


def test_where_nothing_is_left_out_nothing_is_said(here, capsys):
    data = made(here, edm(images(names("")), [[name, 0] for name in names("")]), labels="json")
    assert "left_out" not in data.meta.content()
    assert capsys.readouterr().err == ""


def test_every_readable_suffix_is_taken(here):
    """The content says what an image is."""
    kinds = {"PNG": ["png", "apng"], "JPEG": ["jpg", "JPEG", "jpe", "Jfif"], "WEBP": ["webp"]}
    kinds |= {"BMP": ["bmp"], "GIF": ["gif"], "TIFF": ["tif", "tiff"]}
    kinds["PPM"] = ["ppm", "pgm", "pbm", "pnm"]
    every = [(kind, suffix) for kind, suffixes in kinds.items() for suffix in suffixes]
    files = {f"{i}.{suffix}": encoded(pixels(i), kind) for i, (kind, suffix) in enumerate(every)}
    data = made(here, files)
    assert data.meta.train + data.meta.test == len(files) == 15
    assert data.meta.left_out is None


def test_transparent_images_are_named_or_put_on_a_colour(here):
    clear = np.concatenate([pixels(1), np.zeros((8, 8, 1), np.uint8)], 2)
    files = {**images(names("")), "clear.png": encoded(clear)}
    message = refused(here, files)
    assert "clear.png (it has transparent pixels; 'background: white' or 'black'" in message
    data = made(here, None, background="black")
    assert (np.concatenate([data.train.x, data.test.x]) == 0).all(axis=(1, 2, 3)).sum() == 1


# --- classes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", ["0.jp2", "notes.txt", "sub/0.npy", ".hidden.png"])
@pytest.mark.parametrize("test", [2, "own"])
def test_a_class_folder_without_images_renumbers_no_other(here, inside, test):
    top = "train/" if test == "own" else ""
    files = images(names(*(f"{top}{name}" for name in ("ant", "cat")), count=3))
    files |= images(names("test/ant")) if test == "own" else {}
    message = refused(here, {**files, f"{top}bee/{inside}": b"x"}, labels="folders", test=test)
    assert f"the class folder '{top}bee' holds no image that can be read" in message
    assert inside[0] == "." or f"{top}bee/{inside}" in message


def test_folders_that_others_leave_are_no_classes(here):
    files = images(names("cat", "dog", "@eaDir", "#recycle", "lost+found", "__MACOSX", ".git"))
    data = made(here, files, labels="folders")
    assert data.meta.class_names == ["cat", "dog"]
    assert (data.meta.train, data.meta.left_out.count) == (5, 5)


@pytest.mark.parametrize("raw", ["x", "x.zip"])
def test_class_folders_of_spelled_names(here, raw):
    plain = images(names("cat", "dog"))
    data = made(here, plain, raw, labels="folders")
    for spell in ("./{}", "{}"):
        files = {spell.format(name).replace("/", "\\"): file for name, file in plain.items()}
        again = made(here, files, "spelled.zip", labels="folders")
        assert again.sha256 == data.sha256


@pytest.mark.parametrize("other", ["0.png", "./0.png", ".\\0.png"])
def test_an_image_labelled_twice(here, other):
    labels = [[name, 1] for name in names("")]
    message = refused(here, edm(images(names("")), [*labels, [other, 0]]), labels="json")
    assert f"labels {other} twice, as 1 and 0" in message
    assert made(here, edm(images(names("")), [*labels, [other, 1]]), labels="json").meta.classes


def test_labels_of_images_that_cannot_be_read(here):
    labels = [[name, 1] for name in [*names(""), "4.jp2"]]
    files = edm({**images(names("")), "4.jp2": b"x"}, labels)
    assert "of which 1 cannot be read, such as 4.jp2" in refused(here, files, labels="json")


def test_labels_in_a_folder_below(here):
    files = edm(images(names("")), [[name, 1] for name in names("")])
    below = {f"top/{name}": content for name, content in files.items()}
    assert "there is top/dataset.json: move" in refused(here, below, labels="json", raw="x.zip")


def labelled(labels):
    """Images, and dataset.json with these labels."""
    files = images(names("", count=len(labels)))
    return edm(files, [[name, label] for name, label in zip(files, labels, strict=True)])


@pytest.mark.parametrize(
    ("labels", "classes", "found"),
    [
        ([1, 2, 3, 1, 2, 3, 1], 3, "1 of 4 classes (0) has no training image"),
        ([1, 2, 3, 1, 2, 3, 1], 4, "1 of 4 classes (0) has no training image"),
        ([0, 2, 5, 0, 2, 5, 0], 6, "3 of 6 classes (1, 3, 4) have no training image"),
        ([0, 1, 2, 0, 1, 2, 0], 4, "holds 3 classes and not 4"),
        ([0, 1, 2, 0, 1, 2, 0], 2, "holds 3 classes and not 2"),
    ],
)
def test_classes_are_compared_with_what_is_there(here, labels, classes, found):
    assert found in refused(here, labelled(labels), labels="json", classes=classes)


def test_classes_of_the_test_folder_alone_do_not_count(here):
    files = images(names("train/ant", "train/bee", "test/ant", "test/cat"))
    message = refused(here, files, labels="folders", test="own", classes=3)
    assert "1 of 3 classes (2 'cat') has no training image" in message
    assert made(here, None, labels="folders", test="own").untrained.startswith("1 of 3 classes")


def refusal(data):
    """Why a conditional training does not take the data; "" if it does."""
    try:
        build.model(run_settings(network=MLP, conditional=True), data, 0)
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("labels", "classes", "missing"),
    [
        ([1, 2, 3, 1, 2, 3, 1, 2], 4, "1 of 4 classes (0) has"),
        ([0, 3, 0, 3, 0, 3, 0, 3], 4, "2 of 4 classes (1, 2) have"),
        ([0, 1, 2, 0, 1, 2, 0, 1], 3, ""),
    ],
)
def test_no_conditional_training_in_classes_without_images(here, labels, classes, missing, capsys):
    """The network knows one class more than the largest label, so that labels stay what they are;
    where one has no image, that is said when the data are made and before a training."""
    data = made(here, labelled(labels), labels="json", test=2)
    assert data.meta.classes == classes
    assert np.bincount(data.train.labels).sum() == 6
    if not missing:
        assert refusal(data) == ""
        assert capsys.readouterr().err == ""
        return
    assert f"made: {missing} no training image" in capsys.readouterr().err
    assert refusal(data).startswith(f"train.conditional: {missing} no training image")
    build.model(run_settings(network=MLP), data, 0)


@pytest.mark.parametrize("seed", range(6))
def test_neither_hold_out_nor_limit_takes_a_class_away(here, seed):
    """Of 14 images of four classes, two have one image alone."""
    labels = [0] * 6 + [1] + [2] * 6 + [3]
    for limit in (None, 9):
        options = {"labels": "json", "test": 5, "seed": seed, "limit": limit}
        data = made(here, labelled(labels), **options)
        assert set(data.train.labels) == {0, 1, 2, 3}
        assert refusal(data) == ""


def test_a_limit_of_each_folder_keeps_its_classes(here):
    files = images([*names("train/a", count=9), "train/b/0.png", *names("test/a", count=9)])
    data = made(here, files, labels="folders", test="own", limit=3)
    assert sorted(data.train.labels) == [0, 0, 1]
    assert data.test.labels.tolist() == [0] * 3


def test_a_limit_below_the_number_of_classes_is_said(here):
    data = made(here, labelled([0, 1, 2, 3] * 3), labels="json", test=2, limit=5)
    assert "1 of 4 classes" in refusal(data) and "raise its limit" in refusal(data)


# --- what bad input gets -------------------------------------------------------------------------


def test_nothing_there(here):
    assert "is missing; put" in refused(here, None)
    assert "data/raw/x.zip is missing" in refused(here, None, raw="x.zip")


@pytest.mark.parametrize("files", [{"notes.txt": b"no image"}, {"a/.b.png": b""}])
def test_no_images(here, files):
    assert "holds no images" in refused(here, files)


def test_mixed_sizes_without_a_rule(here):
    files = {**images(names("")), "z.png": encoded(pixels(9, 5, 7))}
    message = refused(here, files)
    assert "0.png has 8 x 8 pixels and z.png 7 x 5" in message
    assert "'size'" in message


def damaged(count=12):
    """Images of which three are damaged, each in another way."""
    files = images(names("", count=count))
    files["1.png"] = files["1.png"][:60]
    files["4.png"] = b""
    files["7.png"] = b"<html>404</html>"
    return files


@pytest.mark.parametrize("raw", ["x", "x.zip"])
def test_broken_images_are_named_and_counted(here, raw):
    message = refused(here, damaged(), raw=raw)
    assert "3 of 12 images are broken" in message
    assert all(f"{name}.png (" in message for name in (1, 4, 7))
    assert "5.png" not in message
    assert "broken: skip" in message


def test_after_a_broken_image_the_rest_is_counted_and_not_written(here, monkeypatch):
    monkeypatch.setattr(image_folder, "CHUNK", 1)
    write(here / RAW / "x", damaged())
    pieces = listed().pieces()
    next(pieces)
    with pytest.raises(UserError, match="3 of 12"):
        next(pieces)


def test_broken_images_are_left_out_if_so_wished(here, capsys):
    data = made(here, damaged(), broken="skip", labels="none")
    assert len(data.train.x) + len(data.test.x) == 9
    good = [pixels(i).transpose(2, 0, 1) for i in range(12) if i not in (1, 4, 7)]
    assert np.array_equal(rows(data.train.x, data.test.x), rows(np.stack(good)))
    assert data.meta.model_extra["skipped"]["count"] == 3
    assert [entry[:5] for entry in data.meta.model_extra["skipped"]["images"]] == [
        "1.png",
        "4.png",
        "7.png",
    ]
    assert "3 of 12 images are broken" in capsys.readouterr().err


def test_labels_stay_with_their_images_when_others_are_left_out(here):
    files = images(names("a", "b", count=6))
    files["a/2.png"] = b""
    data = made(here, files, broken="skip", labels="folders")
    known = {pixels(i).transpose(2, 0, 1).tobytes(): int(i >= 6) for i in range(12)}
    for split in (data.train, data.test):
        assert [known[image.tobytes()] for image in split.x] == split.labels.tolist()


def test_many_broken_images_make_one_short_sentence(here):
    files = images(names("", count=30)) | {f"{i}.png": b"" for i in range(20)}
    message = refused(here, files)
    assert "20 of 30 images" in message
    assert "and 15 more" in message


def test_all_images_broken(here):
    files = {name: b"" for name in names("")}
    assert "no train image can be read" in refused(here, files, broken="skip")


def test_too_large_a_file_is_a_broken_image(here, monkeypatch):
    monkeypatch.setattr(image_folder, "MAX_BYTES", 300)
    files = images(names("")) | {"big.png": encoded(pixels(0)) + bytes(300)}
    assert "big.png (more than 300 bytes)" in refused(here, files)


def test_a_name_with_a_line_break_stays_one_line(here):
    assert r"a\nb.png" in refused(here, {**images(names("")), "a\nb.png": b""})


def test_hold_out_more_than_there_is(here):
    for test in (4, 5):
        assert "holds 4 images" in refused(here, images(names("")), test=test)


def test_an_image_in_no_class_folder(here):
    files = images(names("a", "b", ""))
    assert "0.png lies in no class folder" in refused(here, files, labels="folders")
    own = images(names("train/a", "train/b", "test"))
    message = refused(here, own, labels="folders", test="own", raw="x.zip")
    assert "test/0.png lies in no class folder" in message


def test_one_folder_makes_no_classes(here):
    files = images(names("all"))
    assert "all images lie in one folder, 'all'" in refused(here, files, labels="folders")


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (["train", "val"], "val/0.png lies neither in 'train' nor in 'test'"),
        (["train", "test", ""], "0.png lies neither"),
        (["train"], "there are no images in 'test'"),
        (["test"], "there are no images in 'train'"),
    ],
)
def test_no_split_of_its_own(here, folders, expected):
    assert expected in refused(here, images(names(*folders)), test="own")


NAMES = names("")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "cannot be used (No such file or directory)"),
        (b"{", "invalid JSON"),
        (b"[" * 100_000, "invalid JSON"),
        (b"\xff", "invalid JSON"),
        (b"[]", "should be an object"),
        (b"{}", "labels is missing"),
        (b'{"labels": null}', "labels should be a valid array"),
        (b'{"labels": []}', "labels list should have at least 1 item"),
        (b'{"labels": {"a.png": 1}}', "labels should be a valid array"),
        ([[name, 0.5] for name in NAMES], "labels.0.1 should be a valid integer"),
        ([[name, -1] for name in NAMES], "labels.0.1 should be greater"),
        ([[name, True] for name in NAMES], "labels.0.1 should be a valid integer"),
        ([[name, "1"] for name in NAMES], "labels.0.1 should be a valid integer"),
        ([[name, 10**12] for name in NAMES], "labels.0.1 should be less"),
        ([[name, [0, 1]] for name in NAMES], "labels.0.1 should be a valid integer"),
        ([[name] for name in NAMES], "labels.0.1 is missing"),
        (NAMES, "labels.0 should be a valid array"),
        ([[name, 1] for name in NAMES[1:]], "no label for 1 of 4 images, such as 0.png"),
        ([[name, 1] for name in [*NAMES, "../z.png"]], "names 1 images that are not there"),
    ],
    ids=range(19),
)
def test_labels_that_are_missing_or_odd(here, content, expected):
    files = images(NAMES)
    if content is not None:
        text = content if isinstance(content, bytes) else json.dumps({"labels": content}).encode()
        files["dataset.json"] = text
    assert expected in refused(here, files, labels="json")


def test_a_failed_making_leaves_the_data_set_that_was_there(here):
    made(here, images(names("")))
    before = {file.name: file.read_bytes() for file in (here / "data/made").iterdir()}
    shutil.rmtree(here / RAW / "x")
    with pytest.raises(UserError, match="broken"):
        made(here, damaged())
    assert {file.name: file.read_bytes() for file in (here / "data/made").iterdir()} == before


def test_an_unreadable_folder_is_named(here, monkeypatch):
    write(here / RAW / "x", images(names("a")))

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(UserError, match=r"data/raw/x cannot be read: Permission denied"):
        listed()


def test_pieces_are_made_while_reading(here, monkeypatch):
    """No more images are decoded ahead than pieces hold, however many or large they are."""
    monkeypatch.setattr(image_folder, "CHUNK", 2 * BYTES)
    write(here / RAW / "x", images(names("", count=9)))
    decoded = []
    original = image_folder.decode
    monkeypatch.setattr(image_folder, "decode", lambda *a: decoded.append(1) or original(*a))
    pieces = listed().pieces()
    _, piece = next(pieces)
    assert len(piece.x) == 2
    assert len(decoded) <= 3
