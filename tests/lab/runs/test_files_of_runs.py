"""Whatever the files of a run hold, a stage that reads them ends well or in one sentence."""

import io
import json
import shutil
import zipfile
from contextlib import chdir, redirect_stderr, redirect_stdout

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from support import params

from vct.lab import cli
from vct.lab.errors import UserError
from vct.lab.files.whole import read_json
from vct.lab.report.collect import ExperimentRows
from vct.lab.report.curves import curves_figure
from vct.lab.report.histories import read_histories

RUN = "one/variational/seed0"
HERE = f"results/{RUN}"
READERS = {
    "data/points/meta.json": [f"sample {RUN}", f"score {RUN}", "floor one"],
    "data/points/train_x.npy": [f"sample {RUN}"],
    "data/points/train_labels.npy": [f"sample {RUN}"],
    f"{HERE}/config.json": [f"sample {RUN}", f"score {RUN}", "table both"],
    f"{HERE}/model.safetensors": [f"sample {RUN}"],
    f"{HERE}/snapshots.safetensors": [f"sample {RUN}"],
    f"{HERE}/samples.npz": [f"score {RUN}"],
    f"{HERE}/metrics.json": ["table both"],
    f"{HERE}/protocol.json": ["table both"],
    "results/one/floor.json": ["table both"],
}


def settings_file():
    content = params()
    small = content["experiments"]["small"]
    small |= {"variants": ["variational"], "seeds": [0]}
    small["train"] |= {"steps": 2, "snapshots": 1}
    small["sample"] = {"num_samples": 8, "mid_times": [2.0], "snapshot_samples": 8}
    content |= {"experiments": {"one": small}, "suites": {"both": ["one"]}}
    content["runtime"]["tracking"] = False
    return content


def run(command):
    """Exit code and stderr of a command."""
    err = io.StringIO()
    with redirect_stderr(err), redirect_stdout(io.StringIO()):
        code = cli.main(command.split())
    return code, err.getvalue()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project with one finished run."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "params.yaml").write_text(yaml.safe_dump(settings_file()))
    with chdir(folder):
        for stage in ("data points", f"train {RUN}", f"sample {RUN}", f"score {RUN}", "floor one"):
            assert run(stage)[0] == 0
        yield folder


def judge(folder, file, content, commands):
    """Put `content` in place of a file, run `commands`, put the file back."""
    path = folder / file
    before = {each: (folder / each).read_bytes() for each in READERS}
    path.write_bytes(content)
    try:
        for command in commands:
            code, err = run(command)
            assert code in (0, 2), err
            assert code == 0 or err.splitlines()[-1].startswith("vct: error: ")
            yield command, code, err
            path.write_bytes(content)
    finally:
        for each, old in before.items():
            (folder / each).write_bytes(old)


BYTES = st.one_of(
    st.binary(max_size=30),
    st.sampled_from(
        [b"[" * 99_999, b"9" * 9999, b"{}", b"[]", b"null", b"\xff\xfe", b"PK\x03\x04"]
    ),
)


@given(file=st.sampled_from(sorted(READERS)), content=BYTES)
@settings(max_examples=20, deadline=None, derandomize=True)
def test_any_bytes(finished, file, content):
    for _, code, _ in judge(finished, file, content, READERS[file][:1]):
        assert code == 2


JSON_FILES = sorted(file for file in READERS if file.endswith(".json"))
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 3, 10**30, 10**400, 1e308, float("nan"), float("inf"), 0.5]),
    st.sampled_from(["", "x", "a\nb", "\ud800", "$x_", "steps1", "w2"]),
    st.sampled_from([[], {}, [1], [[]], {"a": 1}, [1, "x"], {"steps1": []}, [10**400]]),
)


def places(value, path=()):
    yield path
    if isinstance(value, dict):
        for key, part in value.items():
            yield from places(part, (*path, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from places(part, (*path, index))


@given(data=st.data())
@settings(max_examples=20, deadline=None, derandomize=True)
def test_any_change_of_a_json_file(finished, data):
    file = data.draw(st.sampled_from(JSON_FILES))
    content = read_json(finished / file)
    *path, last = data.draw(st.sampled_from([path for path in places(content) if path]))
    place = content
    for part in path:
        place = place[part]
    action = data.draw(st.sampled_from(["set", "set", "drop", "add"]))
    if action == "drop":
        del place[last]
    elif action == "add" and isinstance(place, dict):
        place[data.draw(st.sampled_from(["steps2", "steps" + "9" * 5000, "a\nb", "", "x"]))] = (
            data.draw(ODD)
        )
    else:
        place[last] = data.draw(ODD)
    text = json.dumps(content).encode("utf-8", "replace")
    command = data.draw(st.sampled_from(READERS[file]))
    for _ in judge(finished, file, text, [command]):
        pass


def arrays_of(folder):
    with np.load(folder / HERE / "samples.npz") as file:
        return dict(file)


def npz(arrays, packed=False):
    buffer = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


def claims(shape):
    """An archive whose array claims a shape that is not there."""
    array = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(array, header)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("steps1.npy", array.getvalue())
    return buffer.getvalue()


def samples_of(folder):
    arrays = arrays_of(folder)
    points = arrays["steps1"]
    changed = [
        {**arrays, "steps1": points[:, :1]},
        {**arrays, "steps1": points.astype(np.float64)},
        {**arrays, "steps1": points[:1]},
        {**arrays, "steps1": points[0, 0, 0, 0]},
        {**arrays, "stepsx": points},
        {**arrays, "steps99999999999999999999": points},
        {**arrays, "snapshot-1": points},
        {**arrays, "../x": points},
        {**arrays, "record": np.array([1, 2])},
        {**arrays, "record": np.array("other")},
        {**arrays, "noise": points[:2]},
        *({key: value for key, value in arrays.items() if key != drop} for drop in arrays),
    ]
    yield from map(npz, changed)
    yield npz(arrays, packed=True)
    yield npz({**arrays, "steps1": np.array([print], dtype=object)})
    yield claims((10**12, 2, 1, 1))
    yield claims((-1,))
    whole = npz(arrays)
    yield whole[:-30]
    yield whole[: len(whole) // 2]
    yield whole + whole


def test_samples_of_another_form(finished):
    """Scored or drawn only if whole; what is packed or only claimed takes no memory."""
    codes = [
        code
        for content in samples_of(finished)
        for _, code, _ in judge(finished, f"{HERE}/samples.npz", content, [f"score {RUN}"])
    ]
    # Without its snapshots, or twice the same archive, it is still a whole set of samples.
    assert codes.count(0) <= 2
    assert len(codes) > 20


@pytest.mark.parametrize("wild", [np.nan, np.inf, 1e38])
def test_samples_that_are_not_finite_are_still_scored(finished, wild):
    arrays = arrays_of(finished)
    arrays["steps1"][0] = wild
    arrays["snapshot2"][0] = wild
    commands = [f"score {RUN}"]
    for _, code, err in judge(finished, f"{HERE}/samples.npz", npz(arrays), commands):
        assert code == 0, err


@pytest.mark.parametrize("file", ["model", "snapshots"])
def test_weights_of_another_form(finished, file):
    path = finished / HERE / f"{file}.safetensors"
    tensors = load_file(path)
    first = next(iter(tensors))
    for change in (
        {"x": np.zeros(3)},
        {"x/y": np.zeros(3)},
        {"99/y": np.zeros(3)},
        {first: np.zeros((3, 3))},
        {first: np.full_like(tensors[first], np.nan)},
        {f"{first}\n": tensors[first]},
    ):
        other = finished / "other.safetensors"
        save_file({**tensors, **change}, other)
        content = other.read_bytes()
        other.unlink()
        for _, code, _ in judge(finished, f"{HERE}/{file}.safetensors", content, [f"sample {RUN}"]):
            assert code == 2
    whole = path.read_bytes()
    for content in (whole[:-8], whole[:100], b"\xff" * 8 + whole[8:]):
        for _, code, _ in judge(finished, f"{HERE}/{file}.safetensors", content, [f"sample {RUN}"]):
            assert code == 2


ROWS = ExperimentRows("one", "points", "ve", "ict", ("variational",), (0,))
WILD = ["nan", "inf", "-inf", "1e38"]
WRONG = ["1e300", "x", "1e400x"]


@pytest.mark.parametrize("value", WILD + WRONG)
def test_a_history_is_drawn_or_refused(finished, tmp_path, value):
    """A diverging training is drawn as far as it can be; what no training writes is refused."""
    shutil.copytree(finished / "results", tmp_path / "results")
    path = tmp_path / HERE / "training.csv"
    header, row, *_ = path.read_text().splitlines()
    words = row.split(",")
    path.write_text("\n".join([header, row, ",".join([words[0], value, value, *words[3:]]), ""]))
    if value in WRONG:
        with pytest.raises(UserError, match=r"training\.csv is damaged"):
            read_histories(ROWS, tmp_path)
    else:
        curves_figure(tmp_path / "x.png", read_histories(ROWS, tmp_path))


@pytest.mark.parametrize("step", ["nan", "inf", "-1", "1.5", "1e300"])
def test_a_history_has_whole_steps(finished, tmp_path, step):
    shutil.copytree(finished / "results", tmp_path / "results")
    path = tmp_path / HERE / "trajectory.csv"
    path.write_text(f"step,w2\n{step},1.0\n")
    with pytest.raises(UserError, match=r"trajectory\.csv is damaged"):
        read_histories(ROWS, tmp_path)


@pytest.mark.parametrize("name", ["$x", "a\tb", "", "ü" * 200])
def test_a_metric_has_a_plain_name(finished, tmp_path, name):
    shutil.copytree(finished / "results", tmp_path / "results")
    (tmp_path / HERE / "trajectory.csv").write_text(f'step,"{name}"\n1,1.0\n')
    with pytest.raises(UserError, match=r"trajectory\.csv is damaged"):
        read_histories(ROWS, tmp_path)
