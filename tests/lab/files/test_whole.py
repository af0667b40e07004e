"""A file is either whole or as it was."""

import errno
import json
import os
import stat

import numpy as np
import pytest

from vct.lab.errors import UserError
from vct.lab.files import whole


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_write_makes_folders_and_leaves_nothing_else(tmp_path):
    whole.write_text(tmp_path / "a" / "b" / "c.txt", "héllo\n")
    assert (tmp_path / "a/b/c.txt").read_text(encoding="utf-8") == "héllo\n"
    assert names(tmp_path / "a/b") == ["c.txt"]


def test_temporary_path_is_beside_and_keeps_the_suffix(tmp_path):
    with whole.atomic(tmp_path / "x.npz") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".npz"
        np.savez(temporary, a=np.arange(3))
        assert not (tmp_path / "x.npz").exists()
    assert names(tmp_path) == ["x.npz"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_failure_leaves_the_old_file_and_no_trace(tmp_path, error):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(error), whole.atomic(path) as temporary:
        temporary.write_text("half of the n")
        raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["x.txt"]


def test_full_disk_is_the_users_error(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(UserError, match=r"x\.txt.*No space left"), whole.atomic(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert path.read_text() == "old"
    assert names(tmp_path) == ["x.txt"]


def test_folder_that_cannot_be_made_is_the_users_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"):
        whole.write_text(tmp_path / "file" / "x.txt", "text")


def test_target_that_is_a_folder_is_the_users_error(tmp_path):
    (tmp_path / "x.txt").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*x\.txt"):
        whole.write_text(tmp_path / "x.txt", "text")
    assert names(tmp_path) == ["x.txt"]


def test_others_may_read_what_the_umask_allows(tmp_path):
    old = os.umask(0o027)
    try:
        whole.write_text(tmp_path / "x.txt", "text")
    finally:
        assert os.umask(old) == 0o027
    assert stat.S_IMODE((tmp_path / "x.txt").stat().st_mode) == 0o640


def test_json_round_trip_is_strict_json(tmp_path):
    path = tmp_path / "x.json"
    content = {"a": [1, 2.5, None, True], "b": {"c": "é"}}
    whole.write_json(path, content)
    assert json.loads(whole.read_text(path)) == content
    whole.write_json(path, {"a": [float("nan"), (float("inf"), 1.0)], "b": -float("inf")})

    def refuse(word):
        raise AssertionError(word)

    read = json.loads(path.read_text(), parse_constant=refuse)
    assert read == {"a": [None, [None, 1.0]], "b": None}


def test_what_a_killed_writer_left_is_removed_and_no_other_file(tmp_path):
    for name in ("a.bin", "part-1.bin", "b.bin"):
        whole.atomic(tmp_path / name).__enter__().write_text("half")  # never left: a kill
    (tmp_path / "a.bin").write_text("whole")
    whole.remove_temporary(tmp_path, ("a.bin", "part-*.bin"))
    left = names(tmp_path)
    assert left[1:] == ["a.bin"] and left[0].startswith(".tmp-b-")
