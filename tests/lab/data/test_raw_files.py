"""Folder and archive read alike; nothing of an archive is written, nothing large is read."""

import os
import tracemalloc
import zipfile
from contextlib import nullcontext

import pytest
from raw_images import write

from vct.lab.data.raw.files import TooLarge, Unreadable, open_raw
from vct.lab.errors import UserError

FILES = {"b/2.png": b"two", "a.txt": b"", "b/1.png": b"one", "b/c/3.png": b"three"}


@pytest.fixture(params=["files", "files.zip"])
def path(request, tmp_path):
    return tmp_path / request.param


def test_names_are_sorted_and_contents_are_read(path):
    write(path, FILES)
    files = open_raw(path)
    assert files.listing.names == sorted(FILES)
    assert {name: files.read(name, 10) for name in files.listing.names} == FILES


LITTER = [
    *(".DS_Store", "b/.x.png", "b/Thumbs.db", "b/c/desktop.ini", "b/._1.png"),
    *(".git/", "__MACOSX/", "@eaDir/", "b/@eaDir/", "#recycle/", "lost+found/", ".Trashes/"),
    *("$RECYCLE.BIN/", "System Volume Information/", ".ipynb_checkpoints/", ".AppleDouble/"),
]


def test_what_others_leave_is_no_file_of_the_users(path):
    write(path, {**FILES, **{f"{name}a.png" if name[-1] == "/" else name: b"" for name in LITTER}})
    listing = open_raw(path).listing
    assert listing.names == sorted(FILES)
    assert listing.folders == ["b", "b/c"]
    assert listing.ignored == sorted(LITTER)


@pytest.mark.parametrize("spell", ["./{}", "{}", ".//{}"])
@pytest.mark.parametrize("separator", ["/", "\\"])
def test_names_in_archives_are_read_however_they_are_spelled(tmp_path, spell, separator):
    names = {name: spell.format(name).replace("/", separator) for name in FILES}
    write(tmp_path / "x.zip", {names[name]: content for name, content in FILES.items()})
    files = open_raw(tmp_path / "x.zip")
    assert files.listing.names == sorted(FILES)
    assert files.listing.folders == ["b", "b/c"]
    assert {name: files.read(name, 10) for name in FILES} == FILES


@pytest.mark.parametrize("again", ["b/2.png", "./b/2.png", "b\\2.png", "b//2.png"])
def test_a_file_that_is_there_twice_must_be_the_same(tmp_path, again):
    write(tmp_path / "x.zip", FILES)
    warned = pytest.warns() if again == "b/2.png" else nullcontext()
    with warned, zipfile.ZipFile(tmp_path / "x.zip", "a") as archive:
        archive.writestr(again, b"two")
    assert open_raw(tmp_path / "x.zip").listing.names == sorted(FILES)
    with pytest.warns(), zipfile.ZipFile(tmp_path / "x.zip", "a") as archive:
        archive.writestr(again, b"owt")
    with pytest.raises(UserError, match=r"b/2\.png twice"):
        assert open_raw(tmp_path / "x.zip").listing


def test_folders_without_files_are_listed(path):
    write(path, FILES)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("empty/inner/", b"")
    else:
        (path / "empty/inner").mkdir(parents=True)
    assert open_raw(path).listing.folders == ["b", "b/c", "empty", "empty/inner"]


def test_no_more_is_read_than_the_limit(path):
    write(path, {"zeros.png": bytes(10**6)})
    assert len(open_raw(path).read("zeros.png", 10**6)) == 10**6
    with pytest.raises(TooLarge, match="999999"):
        open_raw(path).read("zeros.png", 10**6 - 1)


def test_a_file_that_unpacks_to_much_takes_no_memory(path):
    write(path, {"zeros.png": bytes(2 * 10**7)})
    files = open_raw(path)
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            files.read("zeros.png", 1000)
        assert tracemalloc.get_traced_memory()[1] < 10**6
    finally:
        tracemalloc.stop()


def test_missing(path):
    with pytest.raises(UserError, match="is missing; put"):
        open_raw(path)


def test_missing_file_inside(path):
    write(path, FILES)
    with pytest.raises(Unreadable):
        open_raw(path).read("d.png", 10)


@pytest.mark.parametrize("name", ["../out.png", "a/../../out.png", "/out.png", "\\out", "a\\..\\b"])
def test_hostile_names_are_refused_and_nothing_is_written(tmp_path, name):
    write(tmp_path / "in" / "x.zip", {"a.png": b"a"})
    with zipfile.ZipFile(tmp_path / "in" / "x.zip", "a") as archive:
        archive.writestr(name, b"gotcha")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="outside of itself"):
        assert open_raw(tmp_path / "in" / "x.zip").listing
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("keep", [0, 3, 50, 0.9])
def test_truncated_archive(tmp_path, keep):
    write(tmp_path / "x.zip", FILES)
    content = (tmp_path / "x.zip").read_bytes()
    length = keep if isinstance(keep, int) else int(keep * len(content))
    (tmp_path / "x.zip").write_bytes(content[:length])
    with pytest.raises(UserError, match="no whole zip archive"):
        open_raw(tmp_path / "x.zip")


def test_flipped_bit_in_an_archive_is_noticed(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.png", b"some pixels")
    content = (tmp_path / "x.zip").read_bytes()
    (tmp_path / "x.zip").write_bytes(content.replace(b"some pixels", b"sume pixels"))
    with pytest.raises(Unreadable, match="CRC"):
        open_raw(tmp_path / "x.zip").read("a.png", 100)


def test_encrypted_file(tmp_path):
    write(tmp_path / "x.zip", {"a.png": b"a"})
    content = bytearray((tmp_path / "x.zip").read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(Unreadable, match="encrypted"):
        open_raw(tmp_path / "x.zip").read("a.png", 100)


def test_links_are_followed_but_not_in_circles(tmp_path):
    write(tmp_path / "elsewhere", FILES)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert open_raw(tmp_path / "link").listing.names == sorted(FILES)
    (tmp_path / "elsewhere" / "b" / "round").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="a link to a folder above it"):
        assert open_raw(tmp_path / "link").listing


def test_link_to_nowhere_is_named_and_a_pipe_is_not_waited_for(tmp_path):
    write(tmp_path / "x", FILES)
    (tmp_path / "x" / "gone.png").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "x" / "pipe.png")
    files = open_raw(tmp_path / "x")
    assert files.listing.names == sorted([*FILES, "gone.png"])
    assert files.listing.ignored == ["pipe.png"]
    with pytest.raises(Unreadable, match="No such file"):
        files.read("gone.png", 10)
