"""Downloads over a real connection to this machine: whole and as published, or not there."""

import hashlib
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from file_server import serving

from vct.lab.data import download
from vct.lab.data.download import NotFetched, fetch
from vct.lab.errors import UserError

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving({"weights": CONTENT}) as server:
        yield server


@pytest.fixture
def file(tmp_path):
    return tmp_path / "pretrained" / "weights.pth"


def visible(file):
    return [path.name for path in file.parent.iterdir() if not path.name.startswith(".")]


def test_a_file_is_fetched_once_however_many_want_it(server, file):
    with ThreadPoolExecutor(3) as pool:
        for one in [pool.submit(fetch, f"{server.url}weights", file, SHA256) for _ in range(3)]:
            one.result()
    assert file.read_bytes() == CONTENT
    assert visible(file) == ["weights.pth"]
    assert server.asked == ["weights"]
    assert socket.getdefaulttimeout() is None


def test_what_is_not_the_published_file_is_never_kept(server, file):
    server.files["weights"] = CONTENT[::-1]
    with pytest.raises(NotFetched, match="invalid hash"):
        fetch(f"{server.url}weights", file, SHA256)
    server.files["weights"], server.cut = CONTENT, 400_000
    with pytest.raises(NotFetched):
        fetch(f"{server.url}weights", file, SHA256)
    assert visible(file) == []
    server.cut = None
    fetch(f"{server.url}weights", file, SHA256)
    assert file.read_bytes() == CONTENT


def test_why_it_could_not_be_had_is_said(server, file):
    with pytest.raises(NotFetched, match="Not Found"):
        fetch(f"{server.url}other", file, SHA256)
    with pytest.raises(NotFetched, match="refused"):
        fetch("http://127.0.0.1:9/closed", file, SHA256)


def test_a_server_that_falls_silent_is_not_waited_for(file, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "PATIENCE", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(NotFetched, match="timed"):
        fetch(f"http://127.0.0.1:{silent.getsockname()[1]}/x", file, SHA256)


def test_a_file_put_there_by_hand_is_left_alone(file):
    file.parent.mkdir()
    file.write_bytes(b"mine")
    fetch("http://127.0.0.1:9/closed", file, SHA256)
    assert file.read_bytes() == b"mine"


def test_a_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "raw").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"):
        fetch(f"{server.url}weights", tmp_path / "raw" / "weights.pth", SHA256)
