"""Small trainings of every kind, and a project folder to run them in."""

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from vct import config, registry
from vct.data import dataset
from vct.layout import RunId

STEPS = 20
_MLP = {"kind": "mlp", "width": 16, "depth": 2, "dropout": 0.2}
_UNET = {"kind": "ddpmpp", "channels": 4, "mult": [1, 1], "blocks": 1, "attention": []}
_OBJECTIVES: dict[str, dict[str, Any]] = {
    "ict": {"kind": "ict", "s0": 2, "s1": 8},
    "ecm": {"kind": "ecm", "stages": 4},
}
COMPARED = ("model.safetensors", "snapshots.safetensors", "training.csv", "config.json")


@dataclass(frozen=True)
class Variant:
    """A coupling, objective, kernel and kind of data, in so many processes."""

    coupling: str
    objective: str
    kernel: str
    data: str
    processes: int = 1

    @property
    def run(self) -> RunId:
        """Its run."""
        return RunId(f"{self.data}-{self.objective}-{self.kernel}", self.coupling, 0)

    def __str__(self) -> str:
        where = "" if self.processes == 1 else f", {self.processes} processes"
        return f"{self.coupling}, {self.objective}, {self.kernel}, {self.data}{where}"


def variants() -> list[Variant]:
    """Every coupling x objective x kernel on points; each coupling on images, also over gloo."""
    couplings, objectives, kernels = (
        ("independent", "ot", "variational"),
        ("ict", "ecm"),
        ("ve", "li"),
    )
    points = itertools.product(couplings, objectives, kernels, ["points"])
    images = itertools.product(couplings, ["ict"], ["ve"], ["images"])
    alone = [Variant(*parts) for parts in itertools.chain(points, images)]
    return alone + [replace(variant, processes=2) for variant in alone if variant.data == "images"]


def params() -> dict[str, Any]:
    """A params.yaml with all variants."""
    experiments = {}
    for variant in variants():
        points = variant.data == "points"
        network = _MLP if points else _UNET
        experiments[variant.run.experiment] = {
            "train": {
                "dataset": variant.data,
                "kernel": variant.kernel,
                "objective": _OBJECTIVES[variant.objective],
                "network": network,
                "optimizer": {"kind": "adam", "learning_rate": 0.01, "schedule": "cosine"},
                "ema": {"decay": 0.9},
                "batch_size": 16,
                "steps": STEPS,
                "log_every": 3,
                "snapshots": 4,
                "conditional": not points,
                "flip": not points,
            },
            "variants": ["independent", "ot", "variational"],
            "couplings": {
                "independent": {},
                "ot": {},
                "variational": {"kl_weight": 5, "encoder": network},
            },
            "seeds": [0],
            "sample": {"num_samples": 32, "batch_size": 16, "snapshot_samples": 8},
            "score": {"metric": "wasserstein"} if points else {"metric": "fid", "extractor": "net"},
        }
    return {
        "datasets": {
            "points": {"source": "mixture", "train": 128, "test": 32},
            "images": {"source": "digits", "test": 500},
        },
        "extractors": {"net": {"kind": "classifier", "dataset": "images", "epochs": 1}},
        "experiments": experiments,
        "suites": {"all": list(experiments)},
        "runtime": {"device": "cpu", "tracking": False, "checkpoint_every": 2},
    }


def make(folder: Path) -> None:
    """Write a project: params.yaml and its data."""
    folder.mkdir(parents=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(params(), sort_keys=False))
    for name, settings in config.load(folder / "params.yaml").datasets.items():
        source = registry.find("data source", settings.source)(settings)
        dataset.write(name, source, settings.model_dump(mode="json"), folder)


def read_nothing_ahead(folder: Path) -> None:
    """Let trainings in a project do without the thread that reads batches."""
    path = folder / "params.yaml"
    content = yaml.safe_load(path.read_text())
    content["runtime"]["prefetch"] = 0
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def fingerprint(folder: Path, run: RunId, extra: tuple[str, ...] = ()) -> dict[str, str]:
    """SHA-256 of each declared output of a run."""
    return dict(_hashes(folder / run.directory, (*COMPARED, *extra)))


def _hashes(folder: Path, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name in names:
        yield name, hashlib.sha256((folder / name).read_bytes()).hexdigest()
