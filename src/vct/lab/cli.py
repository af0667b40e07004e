"""The `vct` command: parse, call, and one sentence when something is wrong."""

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Callable
from importlib.util import find_spec
from io import TextIOWrapper
from typing import Any, NoReturn

from vct import __version__
from vct.lab.errors import LOST, PeerLost, UserError, out_of_memory
from vct.lab.processes import launch, stops, streams

DIVIDED = ("prepare", "train", "prior", "sample", "statistics", "score", "floor")
"""Stages whose work several processes share."""
ON_DEVICE = (*DIVIDED, "diagnose")
"""Stages that use the GPUs, if there are any."""
RUN = "EXPERIMENT/COUPLING/seedK, for example digits/variational/seed0"
FAULT = (
    "vct: error: this is a fault of the program; report what stands above. Files are whole or not "
    "there: once it is mended, the same command goes on."
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vct",
        description="Consistency training with noise couplings, stage by stage. A run goes through "
        "data, train, sample, score and table; some through prepare and prior too.",
    )
    parser.add_argument("--version", action="version", version=f"vct {__version__}")
    stages = parser.add_subparsers(dest="stage", metavar="STAGE", required=True)

    def add(name: str, summary: str, argument: str | None = None, detail: str | None = None):
        stage = stages.add_parser(name, help=summary, description=summary)
        if argument:
            stage.add_argument("name", metavar=argument, help=detail)
        return stage

    add("check", "Validate params.yaml and stop.")
    add("schema", "Write the JSON schema of params.yaml, for editors.")
    data = add("data", "Make a data set in the common format.", "DATASET", "a name under datasets")
    data.add_argument(
        "--preview", action="store_true", help="show what is in it; make it if it is not there"
    )
    add("check-data", "Hash a data set again.", "DATASET", "a name under datasets")
    add("extractor", "Make a feature extractor.", "EXTRACTOR", "a name under extractors")
    add("prepare", "Make what a run's coupling needs before its training.", "RUN", RUN)
    train = add("train", "Train a run, or go on where it stopped.", "RUN", RUN)
    train.add_argument(
        "--fresh", action="store_true", help="start anew; the old state is moved aside"
    )
    train.add_argument(
        "--set",
        dest="changes",
        default=[],
        action="append",
        metavar="KEY=VALUE",
        help="a trial in scratch/ with another setting, once for each: train.steps=100, "
        "coupling.kl_weight=3",
    )
    add(
        "import-edm",
        "Import a published EDM or EDM2 checkpoint; nothing in it is run.",
        "FILE",
        "a .pkl file",
    )
    add("prior", "Fit the Gaussian that sampling may start from.", "RUN", RUN)
    _add_pictures(add("sample", "Draw samples from a trained run.", "RUN", RUN))
    export = add("export", "Write a trained run as a folder to pass on.", "RUN", RUN)
    export.add_argument("folder", metavar="FOLDER", help="a new one, or that of an older export")
    export.add_argument("--license", metavar="ID", help="of the weights, such as cc-by-4.0")
    add(
        "statistics",
        "Compute what scores must know of training images.",
        "STATISTICS",
        "DATASET/EXTRACTOR/moments or .../features",
    )
    add("score", "Score the samples of a run.", "RUN", RUN)
    add("diagnose", "Measure what a run's coupling does, and what its model learnt.", "RUN", RUN)
    add("floor", "Score held-out real data.", "EXPERIMENT", "a name under experiments")
    add("show", "Print what a run was made from, and check its files.", "RUN", RUN)
    verify = add("verify", "Compare a reproduction with what is committed.")
    verify.add_argument("name", metavar="SUITE", nargs="?", help="the default suite if left out")
    verify.add_argument(
        "--against", metavar="FILE", help="a table.csv; what git's HEAD has if left out"
    )
    table = add("table", "Write the table of a suite.", "SUITE", "a name under suites")
    table.add_argument("--finished", action="store_true", help="of the runs that there are")
    explain = add("explain", "Write the diagnostics of a suite.", "SUITE", "a name under suites")
    explain.add_argument("--finished", action="store_true", help="of the runs that there are")
    report = add("report", "Write the page of a suite.", "SUITE", "a name under suites")
    report.add_argument("--finished", action="store_true", help="of the runs that there are")
    add("keep", "Copy small files of finished runs to where git keeps them.", "SUITE", "a suite")
    add(
        "figures",
        "Write the figures of an experiment, into a suite's folder.",
        "SUITE/EXPERIMENT",
        "for example cpu/digits",
    )
    smoke = add(
        "smoke", "Try every run of a suite for a few steps.", "SUITE", "a name under suites"
    )
    smoke.add_argument("--steps", type=int, default=2, help="of each training (2)")
    smoke.add_argument("--cores", type=int, help="of this machine; all if left out")
    plan = add("plan", "Estimate what a suite costs.", "SUITE", "a name under suites")
    plan.add_argument("--tflops", type=float, help="peak of a device; an A100's if left out")
    plan.add_argument("--utilisation", type=float, help="share of the peak that is reached")
    add("dvc", "Write the DVC stages of a suite.", "SUITE", "a name under suites")
    add("record", "Record in DVC what Snakemake made.", "SUITE", "a name under suites")
    add("adopt", "Let Snakemake take over what DVC made or pulled.", "SUITE", "a name under suites")
    track = add("track", "MLflow: prepare the database, send metrics, open it.")
    actions = track.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("init", help="Create or upgrade the database.")
    ui = actions.add_parser("ui", help="Serve the browser interface on this machine.")
    ui.add_argument("name", metavar="SUITE", nargs="?", default="cpu", help="cpu if left out")
    ui.add_argument("--port", type=int, help="the first free one from 5000 on if left out")
    scores = actions.add_parser("scores", help="Send the scores of a suite's runs.")
    scores.add_argument("name", metavar="SUITE", help="a name under suites")
    sync = actions.add_parser("sync", help="Send metrics of runs that MLflow does not have yet.")
    sync.add_argument("name", metavar="RUN", nargs="*", help=f"{RUN}; all runs by default")
    return parser


def _add_pictures(sample: argparse.ArgumentParser) -> None:
    """Options of `vct sample` for samples to look at."""
    only = sample.add_argument_group("to look at samples; the run's own files stay as they are")
    only.add_argument("--out", metavar="FOLDER", help="write PNG files to this new folder")
    only.add_argument("--num", type=int, help="of samples (64; of images to restore, all)")
    only.add_argument("--inputs", metavar="FOLDER", help="images to restore, by a model that does")
    only.add_argument("--grid", action="store_const", const=True, help="one picture of them too")
    only.add_argument("--steps", type=int, help="of the sampler; the fewest if left out")
    only.add_argument("--labels", metavar="CLASS", help="number or name; all in turn if left out")
    only.add_argument("--seed", type=int, help="of the noise (0)")
    only.add_argument("--prior", help="what samples start from (standard)")
    only.add_argument(
        "--device", help="cuda or cuda:1; trainings that claim GPUs are not asked (cpu)"
    )


def _pictures(options: argparse.Namespace) -> dict[str, Any]:
    """What is asked of samples to look at; the rest of the options is the stage's."""
    words = ("out", "num", "grid", "steps", "labels", "seed", "prior", "inputs", "device")
    found = {word: value for word in words if (value := vars(options).pop(word)) is not None}
    if found and "out" not in found:
        raise UserError(
            f"--{next(iter(found))} is for samples to look at; add --out FOLDER. How the run's "
            "own samples are drawn stands in params.yaml."
        )
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return the exit code: 0, 2 for a user's error, 128 + signal if stopped."""
    _quiet_environment()
    if isinstance(sys.stdout, TextIOWrapper):  # some terminals have no ± or ↓
        sys.stdout.reconfigure(errors="backslashreplace")
    with stops.raised() as received:
        try:
            return _answer(arguments)
        except SystemExit:
            raise
        except BaseException as error:
            streams.close_bars()
            if received or isinstance(error, KeyboardInterrupt):
                return _stopped(received[0] if received else signal.SIGINT)
            code = _explained(error)
            if code is None:
                raise
            return code


def _answer(arguments: list[str] | None) -> int:
    """Run a command and deliver what it printed."""
    try:
        options = _parser().parse_args(arguments)
        code = _call(options, sys.argv[1:] if arguments is None else arguments) or 0
    except SystemExit:  # after --help
        streams.flush(sys.stdout)
        raise
    streams.flush(sys.stdout)
    return code


def _stopped(number: int) -> int:
    streams.say(stops.words(number))
    return 128 + number


def _explained(error: BaseException) -> int | None:
    """Say what is wrong and return the exit code; None if it is a bug."""
    if isinstance(error, UserError):
        code = _refused(str(error))
        return LOST if isinstance(error, PeerLost) else code
    if isinstance(error, BrokenPipeError):
        if streams.is_unread(sys.stdout) or streams.is_unread(sys.stderr):
            # As of any program that the system ends by SIGPIPE: `vct show RUN | head` is no error,
            # and a script can tell that not all was read.
            return 128 + signal.SIGPIPE
        return _refused("another program that was written to has ended; see what it said.")
    if isinstance(error, OSError):
        # Files are named where they are written; this is what is left: pipes, locks, descriptors.
        place = f"{error.filename}: " if error.filename else ""
        return _refused(f"{place}{error.strerror or error}; make room or mend the file's rights.")
    if isinstance(error, MemoryError | RuntimeError | ImportError) and out_of_memory(error):
        return _refused("memory is exhausted; make batch_size or the network smaller.")
    return None


def _refused(why: str) -> int:
    streams.say(f"vct: error: {why}")
    return 2


def entry() -> NoReturn:
    """The installed command."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Before and after `main`, Ctrl-C ends the process without a word.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        code = main()
    except SystemExit as end:
        if not isinstance(end.code, int):
            raise
        code = end.code
    except Exception:
        sys.excepthook(*sys.exc_info())
        streams.say(FAULT)
        code = 1
    streams.settle()
    if code > 128:
        os._exit(code)  # Python's own end takes a while, and all files are whole
    sys.exit(code)


def _quiet_environment() -> None:
    """No library may call home."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")


def _call(options: argparse.Namespace, arguments: list[str]) -> int | None:
    if find_spec("pydantic") is None:
        raise UserError(
            "this environment holds the library alone; commands need the rest of the project, in "
            "its folder: pip install -c constraints.txt -e '.[lab]'"
        )
    with stops.at_once():
        from vct.lab.processes import gpus
        from vct.lab.settings import reading

    if options.stage == "import-edm":  # needs no settings, and no folder with them
        return _command("import_edm", "import_edm")(options.name)
    if options.stage == "schema":  # says what params.yaml may hold, whatever it holds
        return _command("schema", "schema")()
    if options.stage == "sample" and (wanted := _pictures(options)):
        return _command("pictures", "pictures")(options.name, **wanted)
    params = reading.load()
    if options.stage in ON_DEVICE and not launch.is_member():
        if params.runtime.gpus:
            _check_before_waiting(params, options)
        with gpus.claimed(params.runtime) as locks:
            if params.runtime.size > 1 and options.stage in DIVIDED:
                return launch.run(arguments, params.runtime.size, locks)
            return _run(params, options)
    if launch.is_member():
        with stops.at_once():
            from vct.lab.processes.group import joined_group
        with joined_group():
            return _run(params, options)
    return _run(params, options)


def _check_before_waiting(params: Any, options: argparse.Namespace) -> None:
    """Say what would stop a stage anyway, before it waits for a GPU that others hold for days."""
    from vct.lab.files.layout import RunId, StatisticsId
    from vct.lab.settings.run import run_settings

    if options.stage == "floor":
        params.experiment(options.name)
        return
    if options.stage == "statistics":
        place = StatisticsId.parse(options.name)
        params.dataset(place.dataset), params.extractor(place.extractor)
        return
    run = RunId.parse(options.name)
    if options.stage == "train" and options.changes:
        from vct.lab.settings.changes import changed

        params, run = changed(run, options.changes), run.trial
    run_settings(params, run)
    if options.stage == "train":
        from vct.lab.files.locks import lock

        with lock(run.state):
            pass


def _run(params: Any, options: argparse.Namespace) -> int | None:
    """The command: a function named like it, in a module named like it."""
    from vct.lab.settings.own_failure import explained

    given = dict(vars(options))
    module = given.pop("stage").replace("-", "_")
    command = _command(module, given.pop("action", module))
    with explained(params):
        return command(params, **given)


def _command(module: str, function: str) -> Callable[..., int | None]:
    """A command's function; its libraries are loaded now and not before."""
    with stops.at_once():
        return getattr(importlib.import_module(f"vct.lab.commands.{module}"), function)
