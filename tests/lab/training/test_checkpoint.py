"""Checkpoints: whole or passed over, and only for their own run."""

import errno
import hashlib
import os
from dataclasses import replace

import pytest
import torch

from vct.lab.errors import UserError
from vct.lab.files import whole
from vct.lab.records import CodeRecord, RunRecord
from vct.lab.training import checkpoint
from vct.lab.training.checkpoint import Identity

CPU = torch.device("cpu")
SETTINGS = {"train": {"steps": 10, "objective": {"kind": "ict", "s0": 10}}, "coupling": {"a": 1.5}}
IDENTITY = Identity(SETTINGS, "abc", 1)


def state(value):
    return {"weights": torch.full((3,), float(value)), "number": value, "nested": {"a": [1, 2]}}


def latest(folder, identity=IDENTITY):
    return checkpoint.latest(folder, identity, CPU)


def saved(folder, *steps):
    for step in steps:
        checkpoint.save(folder, step, IDENTITY, state(step))
    return [checkpoint.path_of(folder, step) for step in steps]


def test_nothing_there(tmp_path):
    assert latest(tmp_path) is None
    assert latest(tmp_path / "absent") is None


def test_round_trip(tmp_path):
    saved(tmp_path, 5)
    step, found = latest(tmp_path)
    assert step == 5
    assert torch.equal(found["weights"], torch.full((3,), 5.0))
    assert found["number"] == 5
    assert found["nested"] == {"a": [1, 2]}


def test_two_newest_are_kept(tmp_path):
    saved(tmp_path, 5, 99, 100, 2000)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["checkpoint-000000100.ckpt", "checkpoint-000002000.ckpt"]
    assert latest(tmp_path)[0] == 2000
    checkpoint.remove_all(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("share", [0, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_truncated_newest_is_passed_over(tmp_path, capsys, share):
    _, newest = saved(tmp_path, 5, 10)
    content = newest.read_bytes()
    newest.write_bytes(content[: int(share * len(content))])
    assert latest(tmp_path)[0] == 5
    warning = capsys.readouterr().err
    assert "warning" in warning
    assert newest.name in warning


def test_any_flipped_bit_is_noticed(tmp_path, capsys):
    _, newest = saved(tmp_path, 5, 10)
    content = newest.read_bytes()
    # Every byte of both heading lines, and some of the payload.
    heading = content.index(b"\n", content.index(b"\n") + 1) + 1
    for place in [*range(heading + 1), *range(heading, len(content), 97)]:
        damaged = bytearray(content)
        damaged[place] ^= 1
        newest.write_bytes(damaged)
        assert latest(tmp_path)[0] == 5, f"byte {place}"
        assert newest.name in capsys.readouterr().err
    newest.write_bytes(content)
    assert latest(tmp_path)[0] == 10


def test_strangers_are_passed_over(tmp_path):
    saved(tmp_path, 5)
    for step, content in enumerate([b"", b"\n", b"{}\n", b"[]\nx", b"\xff\xfe"], start=6):
        checkpoint.path_of(tmp_path, step).write_bytes(content)
    assert latest(tmp_path)[0] == 5


def test_all_damaged_is_the_users_error(tmp_path):
    for path in saved(tmp_path, 5, 10):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"no checkpoint in .* is whole.*--fresh"):
        latest(tmp_path)


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (
            replace(IDENTITY, settings={**SETTINGS, "train": {**SETTINGS["train"], "steps": 20}}),
            r"settings\.train\.steps: 10 -> 20",
        ),
        (
            replace(IDENTITY, settings={**SETTINGS, "coupling": {"a": 1.5, "b": 2}}),
            r"settings\.coupling\.b: None -> 2",
        ),
        (
            replace(
                IDENTITY,
                settings={
                    "train": {"steps": 10, "objective": {"kind": "ict", "s0": 11}},
                    "coupling": {"a": 1.5},
                },
            ),
            r"settings\.train\.objective\.s0: 10 -> 11",
        ),
        (replace(IDENTITY, data_sha256="xyz"), "data_sha256: abc -> xyz"),
        (replace(IDENTITY, training_version=2), "training_version: 1 -> 2"),
    ],
)
def test_checkpoint_of_another_run_is_refused_by_key(tmp_path, other, named):
    saved(tmp_path, 5)
    with pytest.raises(UserError, match=named) as caught:
        latest(tmp_path, other)
    assert "--fresh" in str(caught.value)
    assert str(caught.value).count(" -> ") == 1


def test_failing_write_leaves_the_old_ones(tmp_path, monkeypatch):
    saved(tmp_path, 5, 10)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(whole, "_sync", full)
    with pytest.raises(UserError, match="No space left"):
        checkpoint.save(tmp_path, 15, IDENTITY, state(15))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert latest(tmp_path)[0] == 10


def test_code_in_a_checkpoint_is_not_run(tmp_path, capsys):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "trapped"),))

    saved(tmp_path, 4)
    checkpoint.save(tmp_path, 5, IDENTITY, {"weights": Trap()})
    assert latest(tmp_path)[0] == 4
    assert "000000005.ckpt holds more than tensors" in capsys.readouterr().err
    checkpoint.path_of(tmp_path, 4).unlink()
    with pytest.raises(UserError, match=r"no checkpoint in .* is whole"):
        latest(tmp_path)
    assert not (tmp_path / "trapped").exists()


def test_a_checkpoint_of_another_format_is_passed_over(tmp_path):
    older, _ = saved(tmp_path, 5, 6)
    content = older.read_bytes().partition(b"\n")[2].replace(b'"format": 3', b'"format": 2')
    digest = hashlib.sha256(content).hexdigest().encode()
    checkpoint.path_of(tmp_path, 6).write_bytes(digest + b"\n" + content)
    assert latest(tmp_path)[0] == 5


def test_damaged_ones_leave_two_good_ones(tmp_path):
    """A damaged checkpoint of a later step is not counted among the two that are kept."""
    (damaged,) = saved(tmp_path, 100)
    damaged.write_bytes(b"half")
    saved(tmp_path, 90, 92, 94)
    assert [path.name[-8:] for path in sorted(tmp_path.glob("*.ckpt"))] == ["092.ckpt", "094.ckpt"]
    newest = checkpoint.path_of(tmp_path, 94)
    newest.write_bytes(newest.read_bytes()[:-1])
    assert latest(tmp_path)[0] == 92
    checkpoint.remove_all(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")]
)
def test_no_memory_is_no_damage(tmp_path, monkeypatch, error):
    """Else a good checkpoint would be passed over, and a new start advised."""
    saved(tmp_path, 5, 10)

    def load(*_, **__):
        raise error

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(type(error)):
        latest(tmp_path)


def test_a_checkpoint_of_another_seed_is_refused(tmp_path):
    """Seeds of a coupling have the same settings."""
    saved(tmp_path, 5)
    with pytest.raises(UserError, match="seed"):
        latest(tmp_path, replace(IDENTITY, seed=1))


def test_a_damaged_checkpoint_is_not_called_the_newest_good_one(tmp_path):
    """A training that diverges names it."""
    good, damaged = saved(tmp_path, 5, 10)
    assert checkpoint.newest(tmp_path) == damaged
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert checkpoint.newest(tmp_path) == good
    assert checkpoint.newest(tmp_path / "absent") is None


RECORD = RunRecord(
    run="small/ot/seed3",
    settings=SETTINGS,
    settings_sha256="0",
    data_sha256="abc",
    code=CodeRecord(vct="1", training=1),
    summary={},
)
OTHERS = {
    "settings": {"settings": {"train": {}}},
    "data": {"data_sha256": "xyz"},
    "code": {"code": CodeRecord(vct="1", training=2)},
    "seed": {"run": "small/ot/seed4"},
    "initial weights": {"initial_weights_sha256": "f"},
    "teacher": {"teacher_sha256": "f"},
    "own code": {"own_code": {"mine.py": "f"}},
}


@pytest.mark.parametrize("what", OTHERS)
def test_all_that_decides_a_training_is_part_of_its_identity(what):
    own = RECORD.model_copy(update={"own_code": {"mine.py": "e"}, "initial_weights_sha256": "e"})
    for record in (RECORD, own):
        other = record.model_copy(update=OTHERS[what])
        assert Identity.of(other) != Identity.of(record) == Identity.of(record.model_copy())


def test_what_a_training_does_not_depend_on_is_not():
    """Another version of the program, and what came out."""
    other = {"code": CodeRecord(vct="2", training=1), "summary": {"kl": 1.0}, "files": {"a": "b"}}
    assert Identity.of(RECORD.model_copy(update=other)) == Identity.of(RECORD)
