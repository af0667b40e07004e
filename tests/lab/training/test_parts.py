"""What was put aside must be what it was when it is needed."""

import pytest

from vct.lab.errors import UserError
from vct.lab.training.parts import Parts


def test_only_what_was_written_is_taken(tmp_path):
    parts = Parts()
    paths = [tmp_path / name for name in ("a", "b")]
    for path in paths:
        path.write_bytes(b"tensors of " + path.name.encode())
        parts.add(path)
    parts.check(tmp_path)
    other = Parts()
    other.hashes = parts.hashes
    paths[1].write_bytes(b"others")
    with pytest.raises(UserError, match="/b is missing or damaged"):
        other.check(tmp_path)
    parts.add(paths[1])
    paths[0].unlink()
    with pytest.raises(UserError, match="/a is missing or damaged"):
        parts.check(tmp_path)
