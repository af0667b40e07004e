"""Downloads over a real connection to this machine: checked, and gone on with."""

import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from vct.lab.data.sources.download import NotFetched, fetch
from vct.lab.errors import UserError

CONTENT = bytes(range(256)) * 4096
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server:
    """Serves CONTENT at any path. `cut` breaks each connection after so many bytes; `ranges` says
    whether a part may be asked for; `status` answers with an error."""

    def __init__(self):
        self.content, self.cut, self.ranges, self.status = CONTENT, None, True, None
        self.asked = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/file"

    def answer(self, handler):
        asked = handler.headers.get("Range")
        self.asked.append(asked)
        if self.status:
            handler.send_error(self.status)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and self.ranges else 0
        if start >= len(self.content) > 0:
            handler.send_error(416)
            return
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: self.cut])


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "raw" / "archive.gz"


def visible(file):
    return sorted(path.name for path in file.parent.iterdir() if not path.name.startswith("."))


def test_a_file_is_fetched_once(server, file):
    for _ in range(2):
        fetch([server.url], file, MD5)
        assert file.read_bytes() == CONTENT
        assert visible(file) == ["archive.gz"]
    assert server.asked == [None]


def test_a_broken_download_goes_on_where_it_stopped(server, file):
    server.cut = 400_000
    for so_far in (400_000, 800_000):
        with pytest.raises(NotFetched, match="the connection broke after"):
            fetch([server.url], file, MD5)
        assert visible(file) == ["archive.gz.part"]
        assert file.with_name("archive.gz.part").stat().st_size == so_far
    fetch([server.url], file, MD5)
    assert file.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=400000-", "bytes=800000-"]


def test_a_server_without_ranges_starts_again(server, file):
    server.cut = 400_000
    with pytest.raises(NotFetched):
        fetch([server.url], file, MD5)
    server.cut, server.ranges = None, False
    fetch([server.url], file, MD5)
    assert file.read_bytes() == CONTENT


def test_a_part_that_is_already_whole(server, file):
    file.parent.mkdir()
    file.with_name("archive.gz.part").write_bytes(CONTENT)
    fetch([server.url], file, MD5)
    assert file.read_bytes() == CONTENT


@pytest.mark.parametrize("part", [b"", CONTENT[:1000], CONTENT + b"more"])
def test_another_content_is_never_kept(server, file, part):
    file.parent.mkdir()
    file.with_name("archive.gz.part").write_bytes(part)
    server.content = CONTENT[::-1]
    with pytest.raises(NotFetched, match="not the published file"):
        fetch([server.url], file, MD5)
    assert visible(file) == []


def test_the_next_address_is_tried(server, file):
    fetch(["http://127.0.0.1:9/closed", server.url], file, MD5)
    assert file.read_bytes() == CONTENT


@pytest.mark.parametrize("status", [404, 500])
def test_errors_of_the_server_are_named(server, file, status):
    server.status = status
    with pytest.raises(NotFetched, match=r"Not Found|Internal Server Error"):
        fetch([server.url], file, MD5)


def test_no_network(file):
    with pytest.raises(NotFetched, match="refused"):
        fetch(["http://127.0.0.1:9/closed"], file, MD5)


def test_a_file_put_there_by_hand_is_used_and_a_wrong_one_is_left_alone(file):
    file.parent.mkdir()
    file.write_bytes(CONTENT)
    fetch([], file, MD5)
    file.write_bytes(CONTENT[:-1])
    with pytest.raises(UserError, match="is not the published file"):
        fetch([], file, MD5)
    assert file.read_bytes() == CONTENT[:-1]


def test_a_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "raw").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"):
        fetch([server.url], tmp_path / "raw" / "archive.gz", MD5)
