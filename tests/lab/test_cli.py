"""Exit codes, messages, and how little a plain command loads."""

import io
import json
import os
import signal
import subprocess
import sys

import pytest
import raw_images
import yaml
from raw_images import encoded, images, names, pixels
from support import params

from vct import __version__
from vct.lab import cli
from vct.lab.files.locks import lock
from vct.lab.training.trainer import Interrupted


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A current folder with a small params.yaml."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    return tmp_path


def write(folder, changes=None):
    (folder / "params.yaml").write_text(yaml.safe_dump(params(changes), sort_keys=False))


def refused(capsys, *arguments):
    """The one line on stderr of a command that ends with code 2."""
    assert cli.main(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("vct: error: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


def test_valid_settings(here, capsys):
    write(here, {"experiments.small.train.ema.decay": 0.7})
    assert cli.main(["check"]) == 0
    out, err = capsys.readouterr()
    assert "small, pictures" in out
    assert err == ""


def test_wrong_settings_stop_every_stage(here, capsys):
    write(here, {"experiments.small.train.steps": 0})
    for arguments in (["check"], ["data", "points"], ["train", "small/ot/seed0"], ["table", "cpu"]):
        assert "experiments.small.train.steps: 0 is not allowed" in refused(capsys, *arguments)


def test_the_library_alone_has_no_commands(here, capsys, monkeypatch):
    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    assert "pip install -c constraints.txt -e '.[lab]'" in refused(capsys, "check")


def test_no_settings(here, capsys):
    (here / "params.yaml").unlink()
    assert "params.yaml is missing" in refused(capsys, "check")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["data", "pionts"], "no data set 'pionts'; did you mean points"),
        (["check-data", "pionts"], "no data set 'pionts'; did you mean points"),
        (["check-data", "points"], "data/points/train_x.npy is missing"),
        (["extractor", "jugde"], "no extractor 'jugde'; did you mean judge"),
        (["train", "smal/ot/seed0"], "no experiment 'smal'; did you mean small"),
        (["train", "small/opt/seed0"], "no coupling 'opt'; did you mean ot"),
        (["train", "small/ot"], "EXPERIMENT/COUPLING/seedK"),
        (["train", "../ot/seed0"], "EXPERIMENT/COUPLING/seedK"),
        (["train", "small/ot/seed0"], "data/points"),
        (["sample", "small/ot/seed0"], "small/ot/seed0"),
        (["sample", "nonsense"], "EXPERIMENT/COUPLING/seedK"),
        (["score", "small/ot/seed0"], "is missing"),
        (["floor", "smal"], "no experiment 'smal'; did you mean small"),
        (["floor", "small"], "data/points"),
        (["table", "cpus"], "no suite 'cpus'; did you mean cpu"),
        (["table", "cpu"], "is missing"),
        (["figures", "cpu/smal"], "'cpu/smal' is no SUITE/EXPERIMENT"),
        (["dvc", "cpus"], "no suite 'cpus'; did you mean cpu"),
    ],
)
def test_what_is_not_there(here, capsys, arguments, expected):
    assert expected in refused(capsys, *arguments)
    left = [str(path) for path in here.rglob("*") if path.is_file() and path.name != "params.yaml"]
    assert not [path for path in left if not path.endswith("/lock")]


def test_data_stage_writes_the_common_format(here, capsys):
    assert cli.main(["data", "points"]) == 0
    meta = json.loads((here / "data/points/meta.json").read_text())
    assert (meta["train"], meta["test"], meta["shape"]) == (64, 32, [2, 1, 1])
    assert "64" in capsys.readouterr().out


def test_data_are_hashed_again_on_request(here, capsys):
    cli.main(["data", "points"])
    assert cli.main(["check-data", "points"]) == 0
    recorded = json.loads((here / "data/points/meta.json").read_text())["sha256"]
    assert recorded in capsys.readouterr().out
    file = here / "data/points/train_x.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert "does not hold what" in refused(capsys, "check-data", "points")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (None, "data/raw/faces is missing"),
        ({"a.txt": b"text"}, "data/raw/faces holds no images"),
        ({f"{i}.png": encoded(pixels(i, 4 + i, 4)) for i in range(3)}, "give 'size'"),
        ({f"{i}.png": b"broken" for i in range(3)}, "3 of 3 images are broken"),
    ],
)
def test_bad_images_end_in_one_sentence(here, capsys, files, expected):
    write(here, {"datasets.faces": {"source": "image_folder", "test": 2}})
    if files:
        raw_images.write(here / "data/raw/faces", files)
    assert expected in refused(capsys, "data", "faces")
    assert not (here / "data/faces").exists()


def test_training_on_data_that_params_do_not_describe(here, capsys):
    """The settings were changed after the data set was made."""
    folder = {"source": "image_folder", "test": 2}
    raw_images.write(here / "data/raw/faces", images(names("a", "b")))
    write(here, {"datasets.faces": folder})
    assert cli.main(["data", "faces"]) == 0
    capsys.readouterr()
    changes = {
        "datasets.faces": {**folder, "labels": "folders"},
        "experiments.pictures.train.dataset": "faces",
        "experiments.pictures.train.conditional": True,
        "experiments.pictures.train.batch_size": 2,
    }
    write(here, changes)
    message = refused(capsys, "train", "pictures/ot/seed3")
    assert (
        "data/faces was made otherwise than datasets.faces of params.yaml says now (labels"
        in message
    )
    assert message.strip().endswith("make it again: vct data faces")


def test_a_data_set_is_made_by_one_process_at_a_time(here, capsys):
    with lock(here / "state/data/points"):
        assert "state/data/points is in use" in refused(capsys, "data", "points")
    assert not (here / "data/points").exists()


def test_unwritable_folder(here, capsys):
    (here / "data").write_text("in the way")
    assert "cannot write data/points" in refused(capsys, "data", "points")


def raising(error):
    """A command that fails."""

    def stage(*arguments, **options):
        raise error

    return stage


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (Interrupted(15, 7), 143, "SIGTERM after step 7"),
        (Interrupted(2, 7), 130, "SIGINT after step 7"),
        (KeyboardInterrupt(), 130, "stopped"),
        (MemoryError(), 2, "batch_size"),
        (RuntimeError("can't start new thread"), 2, "memory is exhausted"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), 2, "memory is exhausted"),
        (ImportError("x.so: failed to map segment from shared object"), 2, "memory is exhausted"),
    ],
)
def test_stopped_training(here, capsys, monkeypatch, error, code, expected):
    monkeypatch.setattr("vct.lab.commands.train.run", raising(error))
    assert cli.main(["train", "small/ot/seed0"]) == code
    assert expected in capsys.readouterr().err


def test_not_every_memory_is_exhausted(here, monkeypatch):
    monkeypatch.setattr("vct.lab.commands.train.run", raising(RuntimeError("memory bank is empty")))
    with pytest.raises(RuntimeError, match="memory bank"):
        cli.main(["train", "small/ot/seed0"])


def test_output_in_an_old_encoding(here, monkeypatch):
    """Such a terminal, or a file for it, has no ± or ↓."""
    write(here)
    stream = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setattr(cli, "_command", lambda *_: lambda *_, **__: print("FD ↓ ±"))
    assert cli.main(["table", "cpu"]) == 0
    stream.flush()
    assert stream.buffer.getvalue() == b"FD \\u2193 \xb1\n"


ENTRY = [sys.executable, "-c", "from vct.lab.cli import entry; entry()"]


@pytest.fixture(params=["", "1"], ids=["buffered", "unbuffered"])
def buffered(request, monkeypatch):
    """What Python writes at once, and what it keeps until its end, fail in different places."""
    monkeypatch.setenv("PYTHONUNBUFFERED", request.param)


@pytest.mark.parametrize("arguments", [["check"], ["show", "small/ot/seed0"], ["plan", "cpu"]])
def test_a_closed_pipe_is_no_error(here, buffered, arguments):
    """`vct show RUN | head -1`: no word, and the code of a program that SIGPIPE ended."""
    before = "import vct.lab.commands.{0} as it; it.{0} = lambda *_, **__: print('x' * 10**6);"
    command = [*ENTRY[:2], before.format(arguments[0]) + ENTRY[2], *arguments]
    reader, writer = os.pipe()
    with subprocess.Popen(command, stdout=writer, stderr=subprocess.PIPE) as process:
        os.close(writer)
        os.read(reader, 1)
        os.close(reader)
        assert process.stderr.read() == b""
    assert process.returncode == 128 + signal.SIGPIPE


@pytest.mark.parametrize(
    ("arguments", "code"), [(["check"], 141), (["data", "pionts"], 2), (["--help"], None)]
)
def test_nobody_reads_any_more(here, buffered, arguments, code):
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run([*ENTRY, *arguments], stdout=writer, stderr=subprocess.PIPE)
    assert code in (result.returncode, None)  # argparse itself forgets what it cannot write
    assert b"room" not in result.stderr and b"Traceback" not in result.stderr
    assert b"Exception ignored" not in result.stderr
    result = subprocess.run([*ENTRY, *arguments], stdout=subprocess.DEVNULL, stderr=writer)
    assert result.returncode in ((2,) if code == 2 else (0, 141))  # 141 where it had to warn
    os.close(writer)


def test_a_full_disk_says_make_room(here, buffered):
    with open("/dev/full", "w") as full:
        result = subprocess.run([*ENTRY, "check"], stdout=full, stderr=subprocess.PIPE, text=True)
        assert subprocess.run([*ENTRY, "data", "pionts"], stderr=full).returncode == 2
    assert result.returncode == 2
    assert "vct: error: No space left on device; make room" in result.stderr
    assert "Exception ignored" not in result.stderr


def test_a_pipe_to_another_program_that_broke_is_no_closed_stdout(here, capsys, monkeypatch):
    monkeypatch.setattr("vct.lab.commands.train.train", raising(BrokenPipeError(32, "Broken pipe")))
    assert "another program" in refused(capsys, "train", "small/ot/seed0")


def test_a_bug_is_not_dressed_up_as_a_users_error(here, monkeypatch):
    monkeypatch.setattr(cli, "_command", lambda *_: raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        cli.main(["train", "small/ot/seed0"])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--help"], 0), (["--version"], 0), ([], 2), (["nonsense"], 2), (["train"], 2)],
)
def test_usage(capsys, arguments, code):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == code
    out, err = capsys.readouterr()
    assert out if code == 0 else "usage: vct" in err
    if arguments == ["--version"]:
        assert __version__ in out


def test_figures_say_what_they_are_of(capsys):
    with pytest.raises(SystemExit):
        cli.main(["figures", "--help"])
    assert "SUITE/EXPERIMENT" in capsys.readouterr().out.splitlines()[0]


LOADED = """
import sys
from vct.lab import cli
try:
    code = cli.main(sys.argv[1:])
except SystemExit as stop:
    code = stop.code
heavy = {"torch", "mlflow", "numpy", "scipy", "pandas", "matplotlib", "sklearn", "pydantic"}
print("LOADED", code, *sorted(heavy & set(sys.modules)))
"""


def loaded(*arguments):
    """Exit code and heavy libraries that a command loads."""
    command = [sys.executable, "-c", LOADED, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return result.stdout.splitlines()[-1].split()[1:]


def test_help_is_instant(here):
    assert loaded("--help") == ["0"]


def test_settings_are_checked_without_the_heavy_libraries(here):
    assert loaded("check") == ["0", "pydantic"]


@pytest.mark.parametrize("stage", ["score", "table", "figures", "data"])
def test_stages_without_networks_do_without_torch(stage):
    code = f"import vct.lab.commands.{stage}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_no_library_calls_home(monkeypatch, here):
    for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        monkeypatch.delenv(name, raising=False)
    cli.main(["check"])
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["DO_NOT_TRACK"] == "true"


def test_installed_command(here):
    result = subprocess.run([*ENTRY, "data", "pionts"], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.startswith("vct: error: ")


def test_a_fault_of_the_program_ends_in_what_to_do(here):
    code = "import vct.lab.commands.check as it; it.check = lambda *_, **__: 1 / 0;"
    command = [*ENTRY[:2], code + ENTRY[2], "check"]
    result = subprocess.run(command, capture_output=True, text=True)
    *before, last = result.stderr.splitlines()
    assert result.returncode == 1
    assert "ZeroDivisionError: division by zero" in before
    assert last.startswith("vct: error: this is a fault of the program; report")
