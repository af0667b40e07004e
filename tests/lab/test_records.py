"""Records come back as they were written, and one sentence says what is wrong with a file."""

import json

import pytest

from vct.lab import records
from vct.lab.errors import UserError
from vct.lab.records import CodeRecord, ReferenceRecord, RunRecord, Scores

RUN = RunRecord(
    run="digits/ot/seed0",
    settings={"train": {"dataset": "digits"}},
    settings_sha256="a",
    data_sha256="b",
    code=CodeRecord(vct="0.1.0", training=1),
    summary={"parameters": 3, "variance": 0.5},
)


def test_a_record_comes_back(tmp_path):
    records.write(RUN, tmp_path / "config.json")
    assert records.read(RunRecord, tmp_path / "config.json") == RUN
    assert RUN.id.seed == 0 and RUN.dataset == "digits"


def test_what_is_none_is_left_out_and_keys_keep_their_order(tmp_path):
    records.write(RUN, tmp_path / "config.json")
    keys = list(json.loads((tmp_path / "config.json").read_text()))
    assert keys == ["run", "settings", "settings_sha256", "data_sha256", "code", "summary"]


def test_a_number_that_is_not_finite_is_null(tmp_path):
    records.write(Scores({"steps1": {"w2": float("nan")}}), tmp_path / "metrics.json")
    assert records.read(Scores, tmp_path / "metrics.json").root == {"steps1": {"w2": None}}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "is missing; run the stage"),
        (b"", "is damaged"),
        (b"{", "is damaged"),
        (b"\xff\xfe{}", "is damaged"),
        (b'{"dataset": "x"} y', "is damaged"),
        (b"[" * 10_000, "is damaged"),
        (b'{"dataset": "x", "split": "train", "size": 3}', "sha256 is missing"),
        (b'{"dataset": "../x", "split": "train", "size": 3, "sha256": ""}', "dataset"),
        (b'{"dataset": "x", "split": "train", "size": "3", "sha256": ""}', "size"),
        (b'{"dataset": "x", "split": "train", "size": 3, "sha256": "", "z": 1}', "z"),
    ],
)
def test_one_sentence_on_a_file_that_is_no_record(tmp_path, content, expected):
    path = tmp_path / "reference.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        records.read(ReferenceRecord, path)
    message = str(caught.value)
    assert message.startswith(str(path)) and expected in message and "\n" not in message
