"""Weights that somebody published: checked, and kept with where they came from."""

from abc import abstractmethod
from pathlib import Path

import torch
from torch import Tensor

from vct.lab.data.dataset import Dataset
from vct.lab.errors import UserError
from vct.lab.files.tensors import load_sealed, save_sealed
from vct.lab.files.whole import file_sha256
from vct.lab.metrics.extractors.base import Extractor, ExtractorKind
from vct.lab.records import PublishedRecord

KEY, FORMAT = "published", "vct-published-1"


class PublishedKind(ExtractorKind):
    """An extractor whose weights are a file of `torch.save` that somebody published."""

    kind: str

    @abstractmethod
    def published(self) -> tuple[Path, str]:
        """The file, and the sha256 that it must have.

        Raises:
            UserError: if it is not at hand.
        """

    @abstractmethod
    def extractor(self, tensors: dict[str, Tensor], source: tuple[str, str]) -> Extractor:
        """The extractor with these weights."""

    def make(self, weights: Path, data: Dataset | None) -> PublishedRecord:
        file, sha256 = self.published()
        tensors = read_published(file, sha256)
        record = PublishedRecord(source=file.name, source_sha256=sha256)
        facts = {"format": FORMAT, "kind": self.kind, **record.content()}
        save_sealed(weights, KEY, facts, tensors)
        return record

    def load(self, weights: Path) -> Extractor:
        command = f"vct extractor {weights.parent.name}"
        facts, tensors = load_sealed(weights, KEY, command)
        if facts["kind"] != self.kind:
            raise UserError(f"{weights} is of kind {facts['kind']}; make it again: {command}")
        return self.extractor(tensors, (facts["source"], facts["source_sha256"]))


def read_published(file: Path, sha256: str) -> dict[str, Tensor]:
    """Read a file of `torch.save`, without running what may stand in it.

    Raises:
        UserError: if it is missing, or not the published file.
    """
    found = file_sha256(file)
    if found != sha256:
        raise UserError(
            f"{file} is not the published file (its sha256 is {found}, not {sha256}); remove it "
            "and get it again."
        )
    return torch.load(file, map_location="cpu", weights_only=True)
