"""What is measured: trainings of small networks on random images of several sizes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vct.lab.data.dataset import Dataset
from vct.lab.data.sources.base import Split
from vct.lab.records import DatasetRecord
from vct.lab.settings.run import RunSettings
from vct.lab.settings.runtime import RuntimeSettings
from vct.lab.training.checkpoint import Identity
from vct.lab.training.trainer import Trainer


@dataclass(frozen=True)
class Subject:
    """Images of (channels, pixels, pixels), and a network with its encoder for them."""

    channels: int
    pixels: int
    width: int
    encoder_width: int
    mult: tuple[int, ...]
    batch: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.channels, self.pixels, self.pixels

    def network(self, width: int, dropout: float) -> dict[str, Any]:
        """Settings of a DDPM++ network without attention at full size."""
        attention = [self.pixels // 2] if len(self.mult) > 1 and max(self.mult) > 1 else []
        chosen = {"channels": width, "mult": list(self.mult), "blocks": 1}
        return {"kind": "ddpmpp", **chosen, "attention": attention, "dropout": dropout}

    def couplings(self, dropout: float) -> dict[str, dict[str, Any]]:
        """The three that are compared."""
        encoder = self.network(self.encoder_width, dropout)
        return {
            "independent": {"kind": "independent"},
            "ot": {"kind": "ot"},
            "variational": {"kind": "variational", "kl_weight": 10, "encoder": encoder},
        }


SUBJECTS = {
    "8 px": Subject(1, 8, 16, 8, (1, 1), 64),
    "28 px": Subject(1, 28, 64, 16, (1, 2), 8),
    "32 px": Subject(3, 32, 64, 16, (1, 2), 8),
}


def images(shape: tuple[int, int, int], count: int) -> Dataset:
    """Random images in memory."""
    draw = np.random.default_rng(0)

    def split(size: int) -> Split:
        x = draw.integers(0, 256, (size, *shape), dtype=np.uint8)
        return Split(x, draw.integers(0, 10, size))

    record = DatasetRecord(
        **{"format": 1, "name": "random", "source": {}, "sha256": "0" * 64, "classes": 10},
        **{"train": count, "test": 16, "shape": list(shape), "dtype": "uint8"},
    )
    return Dataset("random", split(count), split(16), record)


def trainer(
    subject: Subject,
    folder: Path,
    coupling: dict[str, Any],
    *,
    dropout: float = 0.3,
    batch: int | None = None,
    data: Dataset | None = None,
    steps: int = 100_000,
    threads: int = 1,
    ahead: int = 0,
    compiled: bool = False,
) -> Trainer:
    """A training that can be stepped, with iCT as it is published."""
    size = batch or subject.batch
    train = {
        "dataset": "random",
        "kernel": "ve",
        "objective": {"kind": "ict"},
        "network": subject.network(subject.width, dropout),
        "optimizer": {"kind": "adam", "learning_rate": 1e-4},
        "ema": {"decay": 0.999},
        "batch_size": size,
        "steps": steps,
        "snapshots": 0,
        "compile": compiled,
    }
    settings = RunSettings.model_validate({"train": train, "coupling": coupling})
    runtime = RuntimeSettings(device="cpu", threads=threads, prefetch=ahead)
    data = data or images(subject.shape, 8 * size)
    return Trainer(settings, 0, data, runtime, folder, Identity({}, "0", 1))
