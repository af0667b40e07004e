"""Where things are: every path of the project, relative to the folder of params.yaml."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from vct.lab.errors import UserError, quoted

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""What an experiment, coupling, data set, extractor or suite may be called: it becomes a folder."""

DATA_FILES = ("train_x.npy", "train_labels.npy", "test_x.npy", "test_labels.npy", "meta.json")
EXTRACTOR_FILES = ("weights.safetensors", "metrics.json")
TRAIN_FILES = ("model.safetensors", "snapshots.safetensors", "training.csv", "config.json")
AVERAGES_FILE = "averages.safetensors"
"""What training writes too where it keeps averages, to rebuild others from."""
PREPARED_FILE = "prepared.safetensors"
"""What a coupling needs before its training, in experiments where some variant does."""
PRIOR_FILE = "prior.safetensors"
DIAGNOSTICS_FILE = "diagnostics.json"
SAMPLE_FILES = ("samples.npz", "preview.png")
SCORE_FILES = ("metrics.json", "protocol.json", "trajectory.csv")
KEPT_FILES = (
    "config.json",
    "metrics.json",
    "protocol.json",
    "trajectory.csv",
    "training.csv",
)
"""What git keeps of the runs of some suites, and the diagnostics where there are any."""
TRACKED_FILE = "tracked.json"
TABLE_FILES = ("table.csv", "comparisons.csv", "table.md", "table.tex")
REPORT_FILE = "report.html"
"""The page of a suite. It holds times, so that no engine compares it."""
EXPLANATION_FILES = ("diagnostics.csv", "diagnostics.md", "diagnostics.png", "gains.png")
"""Of suites with diagnostics."""
FIGURES = ("samples", "curves")
RAW = Path("data/raw")
"""Files that data sets are made from: downloads, and what the user puts there."""
SCRATCH = Path("scratch")
"""Trials and previews: nothing reads them again, and git does not see them."""
TRACKING_READY = Path("results/tracking.json")


@dataclass(frozen=True)
class RunId:
    """One training: experiment, coupling and seed, written `experiment/coupling/seed0`.

    Its files are under `root`, what no engine declares in `state` beside it.
    """

    experiment: str
    coupling: str
    seed: int
    root: Path = Path("results")

    @classmethod
    def parse(cls, text: str) -> "RunId":
        """Read `experiment/coupling/seed0`.

        Raises:
            UserError: if the text has another form.
        """
        match = re.fullmatch(rf"({NAME.pattern})/({NAME.pattern})/seed(0|[1-9][0-9]{{0,8}})", text)
        if not match:
            raise UserError(
                f"{quoted(text)} names no run; a run is written EXPERIMENT/COUPLING/seedK, "
                "for example digits/variational/seed0."
            )
        return cls(match[1], match[2], int(match[3]))

    @classmethod
    def of_weights(cls, path: str) -> "RunId | None":
        """The run whose final weights `path` is; None for any other file."""
        match = re.fullmatch(r"results/([^/]+/[^/]+/seed\d+)/model\.safetensors", path)
        return cls.parse(match[1]) if match else None

    def __str__(self) -> str:
        return f"{self.experiment}/{self.coupling}/seed{self.seed}"

    @property
    def directory(self) -> Path:
        """Declared outputs of the run."""
        return self.root / str(self)

    def kept(self, suite: str) -> "RunId":
        """The same run where git keeps its small files."""
        return replace(self, root=kept_dir(suite))

    @property
    def trial(self) -> "RunId":
        """The same run with other settings than those of params.yaml, apart from all results."""
        return replace(self, root=SCRATCH / "results")

    @property
    def is_trial(self) -> bool:
        """Whether no engine makes it, nor anything before it."""
        return self.root == self.trial.root

    @property
    def state(self) -> Path:
        """Rolling checkpoints, lock and log of the run; no engine declares them."""
        return self.root.parent / "state" / str(self)

    @property
    def started(self) -> Path:
        """What training was started with, written before its first step."""
        return self.state / "started.json"

    @property
    def unfinished(self) -> Path:
        """Marks that a training has begun: the next one goes on where it is, since then."""
        return self.state / "unfinished"


Statistic = Literal["moments", "features"]


@dataclass(frozen=True)
class StatisticsId:
    """What is known of the training images of a data set in the features of an extractor: their
    `moments`, or their `features` one by one; written `dataset/extractor/moments`."""

    dataset: str
    extractor: str
    what: Statistic

    @classmethod
    def parse(cls, text: str) -> "StatisticsId":
        """Read `dataset/extractor/moments`.

        Raises:
            UserError: if the text has another form.
        """
        kinds = get_args(Statistic)
        match = re.fullmatch(rf"({NAME.pattern})/({NAME.pattern})/({'|'.join(kinds)})", text)
        if not match:
            raise UserError(
                f"{quoted(text)} names no statistics; they are written DATASET/EXTRACTOR/moments "
                "or DATASET/EXTRACTOR/features."
            )
        return cls(match[1], match[2], match[3])  # type: ignore[arg-type]

    def __str__(self) -> str:
        return f"{self.dataset}/{self.extractor}/{self.what}"

    @property
    def file(self) -> Path:
        """Where they are."""
        return Path("results/statistics") / f"{self}.safetensors"


def train_files(averages: bool) -> tuple[str, ...]:
    """What a training writes into the folder of its run; `averages`: it keeps some."""
    return (*TRAIN_FILES, AVERAGES_FILE) if averages else TRAIN_FILES


def dataset_dir(name: str) -> Path:
    """Folder of a data set in the common format."""
    return Path("data") / name


def dataset_state(name: str) -> Path:
    """Lock of a data set, and the record of its last hashing; no engine declares them."""
    return Path("state/data") / name


def extractor_dir(name: str) -> Path:
    """Folder of a trained feature extractor."""
    return Path("results/extractors") / name


def kept_dir(suite: str) -> Path:
    """Small files of the runs of a suite, which git keeps."""
    return suite_dir(suite) / "runs"


def floor_file(experiment: str, kept: str | None = None) -> Path:
    """Scores of held-out real data under the protocol of `experiment`; those that suite `kept`
    keeps."""
    return (kept_dir(kept) if kept else Path("results")) / experiment / "floor.json"


def suite_dir(name: str) -> Path:
    """Tables and figures of a suite."""
    return Path("results") / name


_BY_RUN = {
    **dict.fromkeys((*TRAIN_FILES, AVERAGES_FILE), "train"),
    PREPARED_FILE: "prepare",
    PRIOR_FILE: "prior",
    **dict.fromkeys(SAMPLE_FILES, "sample"),
    **dict.fromkeys(SCORE_FILES, "score"),
    DIAGNOSTICS_FILE: "diagnose",
}
_BY_FOLDER = (
    (rf"data/([^/]+)/(?:{'|'.join(map(re.escape, DATA_FILES))})", "data"),
    (r"results/extractors/([^/]+)/[^/]+", "extractor"),
    (r"results/statistics/([^/]+/[^/]+/[^/]+)\.safetensors", "statistics"),
    (r"results/([^/]+)/floor\.json", "floor"),
    (rf"results/([^/]+)/(?:{'|'.join(map(re.escape, TABLE_FILES))})", "table"),
    (rf"results/([^/]+)/(?:{'|'.join(map(re.escape, EXPLANATION_FILES))})", "explain"),
)


def made_by(path: str | Path) -> str | None:
    """The command that makes a file of the project, as it is called from there; None where none is
    known, as for what git keeps."""
    if run := re.fullmatch(r"results/([^/]+/[^/]+/seed\d+)/([^/]+)", str(path)):
        return f"vct {_BY_RUN[run[2]]} {run[1]}" if run[2] in _BY_RUN else None
    for pattern, stage in _BY_FOLDER:
        if found := re.fullmatch(pattern, str(path)):
            return f"vct {stage} {found[1]}"
    return None


PRETRAINED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""What a published checkpoint may be called: it becomes a file, and a word of a command line."""


def pretrained_name(path: str) -> str | None:
    """Name of the published checkpoint whose imported weights `path` is; None for other files."""
    match = re.fullmatch(rf"pretrained/({PRETRAINED.pattern})\.safetensors", path)
    return match[1] if match else None


def pretrained_source(name: str) -> Path:
    """The published file of a checkpoint, which the user provides."""
    return Path(f"pretrained/{name}.pkl")


def pretrained_files(name: str) -> tuple[Path, Path]:
    """Imported weights and their description."""
    return Path(f"pretrained/{name}.safetensors"), Path(f"pretrained/{name}.json")
