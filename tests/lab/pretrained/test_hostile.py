"""Hostile and damaged files: one sentence with what was asked for; nothing is run or written.

Every attack would leave a file called `marker` in the current folder, which `refused` would find.
"""

import builtins
import functools
import io
import os
import pickle
import re
import struct
import tracemalloc
from pathlib import Path

import edm_files
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vct.lab.errors import UserError
from vct.lab.pretrained import records, unpickler

TOUCH = "touch marker"
WRITE = "open('marker', 'w').close()"


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


class Stateful:
    """Pickles as an object with a state that its class would act upon."""

    def __setstate__(self, state):
        os.system(TOUCH)

    def __getstate__(self):
        return {"a": 1}


# Protocols before 3 spell builtins in the way of Python 2.
ATTACKS = {
    "os.system": (Call(os.system, TOUCH), "posix.system"),
    "eval": (Call(eval, WRITE), "(builtins|__builtin__).eval"),
    "exec": (Call(exec, WRITE), "(builtins|__builtin__).exec"),
    "nested": (Call(Call(getattr, os, "system"), TOUCH), "(builtins|__builtin__).getattr"),
    "import": (Call(__import__, "antigravity"), "(builtins|__builtin__).__import__"),
    "open": (Call(open, "marker", "w"), "_?io.open"),
    "setstate": (Stateful(), "(test_hostile.Stateful|copy_?reg._reconstructor)"),
    "torch.load": (Call(torch.load, "x"), "torch.serialization.load"),
    "class": (Path("marker"), "pathlib"),
}


def safe(content, protocol):
    """Pickle a call of something that is pickled itself, such as a nested call."""
    if isinstance(content, Call) and content.function.__class__ is Call:
        inner = content.function
        head = pickle.dumps(inner.function, protocol)[:-1]
        return head + b"(cbuiltins\nint\nS'system'\ntRS'touch marker'\n\x85R."
    return edm_files.dumps(content, protocol)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_alone(refused, attack, protocol):
    content, name = ATTACKS[attack]
    sentence = refused(safe(content, protocol))
    assert re.search(f"asks for {name}", sentence)
    assert "nothing was run or written" in sentence


@pytest.mark.parametrize("attack", [name for name in ATTACKS if name != "nested"])
def test_attack_inside_an_honest_file(refused, published, attack):
    content, name = ATTACKS[attack]
    for place in ("top", "state", "parameter", "meta"):
        checkpoint = published("ddpmpp_16px")
        if place == "top":
            checkpoint["extra"] = content
        elif place == "state":
            checkpoint["ema"].meta["state"]["sigma_data"] = content
        elif place == "meta":
            checkpoint["ema"].meta["module_src"] = content
        else:
            model = checkpoint["ema"].meta["state"]["_modules"]["model"]
            model.meta["state"]["_parameters"]["weight"] = content
        assert re.search(f"asks for {name}", refused(edm_files.dumps(checkpoint)))


def short(text):
    return b"\x8c" + bytes([len(text)]) + text.encode()


def name(module, member):
    return short(module) + short(member) + b"\x93"


BYTECODE = {
    # The result of one call is called.
    "call of a result": (
        name("collections", "OrderedDict") + b")R(S'touch marker'\ntR.",
        "a call of something that has no name",
    ),
    "call of a text": (short("os.system") + short(TOUCH) + b"\x85R.", "has no name"),
    "call of an allowed text": (short("collections.OrderedDict") + b")R.", "has no name"),
    "instance": (b"(S'touch marker'\nios\nsystem\n.", "INST os system"),
    "object": (b"(" + name("collections", "OrderedDict") + short(TOUCH) + b"o.", "OBJ"),
    "state for a list": (b"\x80\x04]}b.", "a state that it cannot have"),
    "state for a name": (
        name("torch._utils", "_rebuild_parameter") + b"N}" + short("__code__") + b"Ns\x86b.",
        "a state that it cannot have",
    ),
    "attribute of an allowed module": (name("collections", "abc.sys"), "collections.abc.sys"),
    "dotted": (name("torch.storage", "_load_from_bytes.__globals__"), "__globals__"),
    "os": (name("torch.storage", "io.os.system"), "torch.storage.io.os.system"),
    "extension": (b"\x82\x01.", "EXT1 1"),
    "persistent id": (b"Pmarker\n.", "PERSID marker"),
    "name that is no text": (b"]]\x93.", "a name is no text"),
    "control characters": (name("os\x1b[31m", "sys\ntem"), "os?[31m.sys tem"),
    "object array": (
        name("numpy", "dtype") + short("O8") + b"\x89\x88\x87R.",
        "numpy.dtype 'O8'",
    ),
    "deep key": (b"}" + b")" + b"\x85" * 100_000 + b"Ns.", "neither text nor a number"),
    "append to a dict": (b"}Na.", "no list"),
    "key of a list": (b"]K\x01K\x02s.", "no dict"),
    "unhashable member": (b"\x8f(]\x90.", "neither text nor a number"),
    "member of a list": (b"](K\x01\x90.", "no set"),
    "unset memory": (b"h\x05.", "damaged"),
    "no mark": (b"N\x86.", "a value is missing"),
    "mark without a start": (b"t.", "damaged"),
    "nothing": (b"", "empty file"),
    "no end": (b"\x80\x04N", "exhausted"),
    "end at once": (b".", "damaged"),
    "a web page": (b"<!doctype html><html>not found</html>", "damaged"),
}


@pytest.mark.parametrize("case", BYTECODE)
def test_bytecode_that_no_pickler_writes(refused, case):
    content, expected = BYTECODE[case]
    assert expected in refused(content)


def storage_of(payload):
    """A file in which `_load_from_bytes` gets this payload."""
    length = struct.pack("<Q", len(payload))
    return name("torch.storage", "_load_from_bytes") + b"\x8e" + length + payload + b"\x85R."


def legacy(content):
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()


STORAGE = legacy(torch.ones(3)._typed_storage())


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (pickle.dumps(Call(os.system, TOUCH)), "asks for posix.system (inside a tensor)"),
        (pickle.dumps(Call(os.system, TOUCH), 2), "asks for posix.system (inside a tensor)"),
        (legacy(Call(os.system, TOUCH)), "asks for posix.system (inside a tensor)"),
        (legacy([torch.ones(2), Call(eval, WRITE)]), "(inside a tensor)"),
        (legacy(Call(eval, WRITE)), "asks for __builtin__.eval (inside a tensor)"),
        (legacy(Stateful()), "asks for test_hostile.Stateful (inside a tensor)"),
        (legacy(torch.ones(3)), "asks for torch._utils._rebuild_tensor_v2 (inside a tensor)"),
        (b"(S'touch marker'\nios\nsystem\n.", "asks for os.system (inside a tensor)"),
        (legacy({"a": 1}), "payload of a tensor is damaged"),
        (STORAGE[:-4], "payload of a tensor is damaged"),
        (STORAGE[:40], "damaged"),
        (b"", "damaged"),
    ],
    ids=range(12),
)
def test_hostile_payload_of_a_tensor(refused, payload, expected):
    assert expected in refused(storage_of(payload))


def test_torch_reads_payloads_with_its_own_restrictions(here, monkeypatch):
    """The second lock holds when the first is open."""
    monkeypatch.setattr(records, "_check_names", lambda payload: None)
    with pytest.raises(records.Malformed, match="UnpicklingError"):
        records.KNOWN["torch.storage._load_from_bytes"](legacy(Call(os.system, TOUCH)))
    assert not list(here.iterdir())


def test_payload_that_is_no_bytes(refused):
    assert "not made of bytes" in refused(storage_of(b"").replace(b"\x8e" + bytes(8), b"N"))


def test_payload_that_claims_terabytes(refused):
    assert STORAGE.count(b"K\x03N") == 1
    claimed = STORAGE.replace(b"K\x03N", b"\x8a\x06" + (2**44).to_bytes(6, "little") + b"N")
    assert "payload of a tensor is damaged" in refused(storage_of(claimed))


def tensor(offset, size, stride, numbers=6):
    """A tensor of a storage of six numbers."""
    storage = torch.arange(float(numbers))._typed_storage()
    return Call(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, {})


@pytest.mark.parametrize(
    ("offset", "size", "stride", "expected"),
    [
        (0, (7,), (1,), "beyond its storage"),
        (4, (3,), (1,), "beyond its storage"),
        (0, (2, 3), (4, 1), "beyond its storage"),
        (0, (2**40,), (0,), "beyond its storage"),
        (2**70, (1,), (1,), "beyond its storage"),
        (-1, (2,), (1,), "odd size"),
        (0, (-2,), (1,), "odd size"),
        (5, (2,), (-1,), "odd size"),
        (0, (0,), (1,), "odd size"),
        (0, (2, 3), (1,), "one stride for each"),
        (0, (1,), (2**70,), "damaged"),
        (0.5, (1,), (1,), "damaged"),
        (0, 3, 1, "damaged"),
    ],
)
def test_tensor_outside_its_storage(refused, offset, size, stride, expected):
    assert expected in refused(edm_files.dumps(tensor(offset, size, stride)))


HUGE = {
    "bytes": b"B" + b"\xff" * 4,
    "bytes of 8": b"\x8e" + struct.pack("<Q", 2**32),
    "most bytes": b"\x8e" + b"\xff" * 8,
    "text": b"X" + b"\xff" * 4,
    "text of 8": b"\x8d" + struct.pack("<Q", 2**32),
    "number": b"\x8b" + struct.pack("<i", 2**31 - 1),
    "string": b"T" + struct.pack("<i", 2**31 - 1),
    "frame": b"\x95" + struct.pack("<Q", 2**32),
    "memory": b"Nr" + b"\xff" * 4,
}


@pytest.mark.parametrize("case", HUGE)
def test_length_field_of_gigabytes_takes_no_memory(refused, case):
    tracemalloc.start()
    try:
        assert "damaged" in refused(b"\x80\x04" + HUGE[case] + b"few")
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_truncated_anywhere(refused, published):
    content = edm_files.dumps(published("ddpmpp_16px"))
    ends = {1, 2, 11, 12, len(content) // 2, len(content) - 1}
    for end in ends | set(range(100, len(content), len(content) // 7)):
        assert "damaged" in refused(content[:end])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_damage_gets_a_sentence_or_none(folder, data):
    """Bytes of a small honest file are changed, doubled or dropped; nothing else may happen."""
    content = bytearray(small_file())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        action = data.draw(st.sampled_from(["change", "double", "drop"]))
        if action == "change":
            content[place] = data.draw(st.integers(0, 255))
        elif action == "double":
            content[place:place] = content[place : place + 9]
        else:
            del content[place : place + 3]
    file = folder / "file.pkl"
    file.write_bytes(bytes(content))
    try:
        unpickler.read(file)
    except UserError as error:
        assert str(error).startswith(str(file))
        assert str(error).isprintable()


@functools.cache  # torch numbers storages by their addresses, so the bytes are not always the same
def small_file():
    tensors = {"enc.2x2_conv.weight": torch.ones(1, 1), "freqs": torch.ones(2)}
    return edm_files.dumps(edm_files.checkpoint(edm_files.network("SongUNet", tensors)))


def test_the_attacks_would_work_on_pythons_unpickler(here):
    """Or the tests above would show nothing."""
    pickle.loads(safe(ATTACKS["os.system"][0], 4))
    assert (here / "marker").exists()
    (here / "marker").unlink()
    pickle.loads(safe(ATTACKS["eval"][0], 4))
    assert (here / "marker").exists()
    assert builtins.eval is eval
