"""Files of small made-up runs, as the stages write them."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from vct.lab.report.collect import ExperimentRows
from vct.lab.runs import kept
from vct.lab.settings.run import settings_sha256

LABELS = {"independent": "independent", "ot": "minibatch OT", "variational": "variational"}
VE, LI_ = ("ve", "VE"), ("li", "LI")
ICT, ECM = ("ict", "iCT"), ("ecm", "ECM")
DIGITS = ExperimentRows("digits_small", "digits", *VE, *ICT, LABELS, (0, 1, 2))
FIRST = {name: LABELS[name] for name in ("independent", "ot")}
LI = ExperimentRows("digits_li", "digits", *LI_, *ICT, FIRST, (0,))
MIXTURE = ExperimentRows("mixture", "mixture", *VE, *ECM, {"independent": "independent"}, (0, 1))

RECORDED = {
    "config.json": ["training.csv"],
    "protocol.json": ["config.json", "samples.npz", "metrics.json", "trajectory.csv"],
}
FID = {
    "independent": [(60, 50), (66, 54), (63, 52)],
    "ot": [(40, 30), (42, 50), (44, 40)],
    "variational": [(50, 44), (52, 46), (54, 48)],
}


def protocol(dataset: str, mid: float = 1.5) -> dict:
    points = dataset == "mixture"
    extractor = {
        "name": "digits_classifier",
        "kind": "classifier",
        "sha256": "ab" * 32,
        "features": 64,
    }
    return {
        "num_samples": 2000,
        "schedules": {"steps1": [80.0], "steps2": [80.0, mid]},
        "ema": "constant 0.999",
        "sample_seed": 0,
        "noise": "sobol" if points else "gaussian",
        "pool": 500,
        "extractor": None if points else extractor,
        "reference": {"dataset": dataset, "split": "train", "size": 1297, "sha256": "cd" * 32},
        "metrics": ["w2"] if points else ["fid_classifier"],
        "version": 2,
        "sampling_version": 2,
    }


def write_run(root: Path, rows: ExperimentRows, coupling: str, seed: int, metrics: dict) -> None:
    run = f"{rows.experiment}/{coupling}/seed{seed}"
    directory = root / "results" / run
    directory.mkdir(parents=True)
    settings = {"train": {"dataset": rows.dataset}, "coupling": {"kind": coupling}}
    config = {
        "run": run,
        "settings": settings,
        "settings_sha256": settings_sha256(settings),
        "data_sha256": "ef" * 32,
        "code": {"vct": "0.1.0", "training": 1},
        "summary": {},
    }
    mid = 0.8 if rows.kernel == "li" else 1.5
    files = {"metrics": metrics, "config": config, "protocol": protocol(rows.dataset, mid)}
    for name, content in files.items():
        (directory / f"{name}.json").write_text(json.dumps(content))
    header = "step,loss,consistency_loss,kl,grad_norm,learning_rate,grid_points\n"
    kl = 3.0 if coupling == "variational" else 0.0
    lines = [f"{s},{5 / s},{4 / s},{kl},1,0.001,{11 if s < 30 else 21}\n" for s in (10, 20, 30, 40)]
    (directory / "training.csv").write_text(header + "".join(lines))
    primary = "w2" if rows.dataset == "mixture" else "fid_classifier"
    points = "".join(f"{step},{100 / step + seed}\n" for step in (20, 40))
    (directory / "trajectory.csv").write_text(f"step,{primary}\n{points}")
    (directory / "samples.npz").write_text(run)
    seal(directory)


def seal(directory: Path) -> None:
    """Let the records hold the hashes of the files beside them, as the stages do."""
    for name, files in RECORDED.items():
        path = directory / name
        found = {file: sha256((directory / file).read_bytes()).hexdigest() for file in files}
        path.write_text(json.dumps({**json.loads(path.read_text()), "files": found}))


def write_floor(root: Path, experiment: str, scores: dict, count: int) -> None:
    path = root / "results" / experiment / "floor.json"
    path.write_text(json.dumps({"scores": scores, "num_samples": count}))


@pytest.fixture
def scored_again() -> Callable[[Path], None]:
    """Makes a changed file of a run one that scoring has seen."""
    return seal


@pytest.fixture
def digits() -> ExperimentRows:
    return DIGITS


@pytest.fixture
def li() -> ExperimentRows:
    return LI


@pytest.fixture
def mixture() -> ExperimentRows:
    return MIXTURE


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a project whose experiments DIGITS, LI and MIXTURE are scored.

    Their settings are made up, so that whether they are those of now is not asked."""
    monkeypatch.chdir(tmp_path)
    scored = lambda _, run: (run.directory / "protocol.json").exists()  # noqa: E731
    monkeypatch.setattr(kept, "is_current", scored)
    monkeypatch.setattr(kept, "check", lambda *_: None)
    for coupling, scores in FID.items():
        for seed, (one, two) in enumerate(scores):
            found = {"steps1": {"fid_classifier": one}, "steps2": {"fid_classifier": two}}
            if coupling == "variational":
                found["aggregate_variance"] = 0.8
            write_run(tmp_path, DIGITS, coupling, seed, found)
    for coupling in LI.couplings:
        found = {"steps1": {"fid_classifier": 70.5}, "steps2": {"fid_classifier": 60.25}}
        write_run(tmp_path, LI, coupling, 0, found)
    for seed, distance in enumerate((0.1, 0.2)):
        masses = {"mass_mode0": 0.47, "mass_mode1": 0.45, "mass_outside": 0.08}
        steps = {f"steps{n}": {"w2": distance / n, **masses} for n in (1, 2)}
        write_run(tmp_path, MIXTURE, "independent", seed, steps)
    for rows in (DIGITS, LI):
        write_floor(tmp_path, rows.experiment, {"fid_classifier": 2.125}, 500)
    write_floor(tmp_path, "mixture", {"w2": 0.01, "mass_outside": 0.0004}, 2048)
    return tmp_path
