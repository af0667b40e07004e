"""Small trainings of every kind, and a project folder to run them in."""

import hashlib
import itertools
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from vct.lab import build
from vct.lab.data import dataset
from vct.lab.files.layout import RunId
from vct.lab.settings import reading

STEPS = 20
_MLP = {"kind": "mlp", "width": 16, "depth": 2, "dropout": 0.2}
_UNET = {"kind": "ddpmpp", "channels": 4, "mult": [1, 1], "blocks": 1, "attention": []}
_OBJECTIVES: dict[str, dict[str, Any]] = {
    "ict": {"kind": "ict", "s0": 2, "s1": 8},
    "ecm": {"kind": "ecm", "stages": 4},
    "edm": {"kind": "edm"},
    "flow": {"kind": "flow"},
    "consistency_flow": {"kind": "consistency_flow"},
    "sct": {"kind": "sct", "warm_up": 4},
    "mean_flow": {"kind": "mean_flow"},
}
COUPLINGS = ("independent", "ot", "sinkhorn", "variational", "gc")
AVERAGES = {"kind": "post_hoc", "widths": [0.05, 0.1], "kept": 5}


@dataclass(frozen=True)
class Variant:
    """A coupling, objective, kernel and kind of data, in so many processes and parts of a batch.

    `averages` is data of points, with averages kept from which that of another width is rebuilt.
    """

    coupling: str
    objective: str
    kernel: str
    data: str
    processes: int = 1
    micro_batch: int | None = None

    @property
    def run(self) -> RunId:
        """Its run."""
        return RunId(f"{self.data}-{self.objective}-{self.kernel}", self.coupling, 0)

    def __str__(self) -> str:
        parts = [self.coupling, self.objective, self.kernel, self.data]
        parts += [f"{self.processes} processes"] if self.processes > 1 else []
        parts += [f"micro-batches of {self.micro_batch}"] if self.micro_batch else []
        return ", ".join(parts)


def variants() -> list[Variant]:
    """Every coupling x objective x kernel on points; diffusion and flow without a coupling; the
    newer objectives with some.

    Images with labels and flips, divided over processes and micro-batches too; kept averages.
    """
    points = itertools.product(COUPLINGS, ("ict", "ecm"), ("ve", "li"), ["points"])
    diffusion = itertools.product(["independent"], ["edm", "flow"], ("ve", "li"), ["points"])
    newer = itertools.product(
        ["ot", "variational"], ["sct", "consistency_flow", "mean_flow"], ("ve", "li"), ["points"]
    )
    images = [Variant(name, "ict", "ve", "images") for name in ("independent", "ot", "variational")]
    return [
        *(Variant(*parts) for parts in itertools.chain(points, diffusion, newer)),
        Variant("variational", "ict", "ve", "averages"),
        *images,
        Variant("gc", "ecm", "li", "images", micro_batch=4),
        *(replace(variant, processes=2) for variant in images),
        Variant("sinkhorn", "ecm", "li", "images", processes=2, micro_batch=4),
    ]


def params() -> dict[str, Any]:
    """A params.yaml with all variants."""
    experiments: dict[str, dict[str, Any]] = {}
    for variant in variants():
        experiment = experiments.setdefault(variant.run.experiment, _experiment(variant))
        if variant.coupling not in experiment["variants"]:
            experiment["variants"].append(variant.coupling)
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


def _experiment(variant: Variant) -> dict[str, Any]:
    """The settings that all variants of an experiment share, without its couplings' names."""
    images = variant.data == "images"
    network = _UNET if images else _MLP
    learned = {"kind": "variational", "kl_weight": 5, "encoder": network}
    sample: dict[str, Any] = {"num_samples": 32, "batch_size": 16, "snapshot_samples": 8}
    if variant.objective in ("edm", "flow"):
        sample["sampler"] = {"kind": "heun", "steps": 4}
    if variant.data == "averages":
        sample |= {"ema_width": 0.07, "snapshot_samples": 0}
    return {
        "train": {
            "dataset": "images" if images else "points",
            "kernel": variant.kernel,
            "objective": _OBJECTIVES[variant.objective],
            "network": network,
            "optimizer": {"kind": "adam", "learning_rate": 0.01, "schedule": "cosine"},
            "ema": AVERAGES if variant.data == "averages" else {"decay": 0.9},
            "batch_size": 16,
            "steps": STEPS,
            "log_every": 3,
            "snapshots": 4,
            "conditional": images,
            "flip": images,
        },
        "variants": [],
        "couplings": {
            "independent": {},
            "ot": {},
            "sinkhorn": {"entropy": 1.0, "iterations": 20},
            "variational": learned,
            "gc": {"kind": "generator_augmented", "noise": "recouple", "base": learned},
        },
        "seeds": [0],
        "sample": sample,
        "score": {"metric": "fid", "extractor": "net"} if images else {"metric": "wasserstein"},
    }


def make(folder: Path) -> None:
    """Write a project: params.yaml and its data."""
    folder.mkdir(parents=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(params(), sort_keys=False))
    for name, settings in reading.load(folder / "params.yaml").datasets.items():
        source = build.instantiate(settings)
        dataset.write(name, source, settings.model_dump(mode="json"), folder)


def copy(project: Path, folder: Path, variant: Variant) -> None:
    """A project for one training."""
    shutil.copytree(project, folder)
    set_runtime(folder, micro_batch=variant.micro_batch)


def set_runtime(folder: Path, **settings: Any) -> None:
    """Change settings of a project that change no result."""
    path = folder / "params.yaml"
    content = yaml.safe_load(path.read_text())
    content["runtime"] |= settings
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def fingerprint(folder: Path, run: RunId) -> dict[str, str]:
    """SHA-256 of each file of a run."""
    files = sorted((folder / run.directory).iterdir())
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
