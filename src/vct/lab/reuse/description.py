"""What the folder of a run, or of an export, says of its model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vct.averages.ema import copied
from vct.lab import records, versions
from vct.lab.data import dataset
from vct.lab.data.dataset import Dataset
from vct.lab.data.sources.base import Split
from vct.lab.errors import UserError, quoted
from vct.lab.files.differences import differences
from vct.lab.files.layout import AVERAGES_FILE, PRIOR_FILE, RunId, dataset_dir
from vct.lab.files.whole import damaged, file_sha256
from vct.lab.records import (
    ExportRecord,
    ModelRecord,
    PriorRecord,
    ProtocolRecord,
    RunRecord,
    SampleRecord,
    Scores,
)
from vct.lab.runs import provenance, samples, weights
from vct.lab.sampling import priors
from vct.lab.sampling.drawing import bounds
from vct.lab.settings import reading
from vct.lab.settings.params import PARAMS
from vct.lab.settings.run import RunSettings, settings_sha256
from vct.lab.settings.sample import SampleSettings
from vct.priors import GaussianPrior
from vct.samplers.few_step import Bounds

WEIGHTS = "model.safetensors"
CONFIG = "config.json"


@dataclass(frozen=True)
class Description:
    """A trained model on disk: how it is built and sampled, and where it is from.

    Args:
        folder: where it is.
        record: `config.json` of an export of it.
        is_export: whether the folder is one, and not that of a run.
    """

    folder: Path
    record: ExportRecord
    is_export: bool

    @classmethod
    def of(cls, folder: str | Path) -> "Description":
        """Read what is in `folder`.

        Raises:
            UserError: if that is neither a trained run nor an export, or is damaged.
        """
        path = _found(Path(folder))
        record = records.read(ModelRecord, path / CONFIG).root
        if isinstance(record, RunRecord):
            return cls(path, _of_run(path), is_export=False)
        if settings_sha256(record.run.settings) != record.run.settings_sha256:
            raise damaged(path / CONFIG, "its settings are not those that were hashed")
        return cls(path, record, is_export=True)

    @property
    def settings(self) -> RunSettings:
        """What was trained.

        Raises:
            UserError: if a program with other settings wrote them.
        """
        return _validated(RunSettings, self.record.run.settings, self.folder)

    @property
    def sample(self) -> SampleSettings:
        """How it was sampled."""
        return _validated(SampleSettings, self.record.sample, self.folder)

    def bounds(self, device: torch.device) -> Bounds:
        """Ends of the range of the data."""
        if self.record.bounds is None:
            return -1.0, 1.0
        shape = (2, *self.record.data.shape)
        low, high = torch.tensor(self.record.bounds, device=device).reshape(shape)
        return low, high

    def data(self) -> Dataset:
        """The data set without its samples: shape and classes are what a model is built from."""
        meta = self.record.data
        nothing = Split(np.zeros((0, *meta.shape), meta.dtype), np.zeros(0, np.int64))
        return Dataset(meta.name, nothing, nothing, meta)

    def tensors(self, module: nn.Module) -> dict[str, Tensor]:
        """Weights of network and coupling, for a module that has them.

        Raises:
            UserError: if the file is missing or damaged.
        """
        width = None if self.is_export else self.sample.ema_width
        path = self.folder / (WEIGHTS if width is None else AVERAGES_FILE)
        if path.exists() and file_sha256(path) != self.record.files.get(path.name):
            raise UserError(
                f"{path} is not the file that {CONFIG} beside it records; copy the whole folder "
                "again."
            )
        return weights.read(path) if width is None else weights.rebuilt(path, width, copied(module))

    def prior(self) -> GaussianPrior | None:
        """The Gaussian that was fitted to the aggregate posterior, where there is one.

        Raises:
            UserError: if its file is damaged, or fitted to something else than what is sampled.
        """
        path = self.folder / PRIOR_FILE
        if not path.exists():
            return None
        of, found = priors.read_file(path)
        if self.is_export:
            if file_sha256(path) != self.record.files.get(PRIOR_FILE):
                raise UserError(
                    f"{path} is not the file that {CONFIG} beside it records; copy the whole "
                    "folder again."
                )
        elif others := differences(of.content(), self._prior_record(of).content()):
            keys, run = (each.partition(":")[0] for each in others), self.record.run.run
            raise UserError(
                f"{path} is of other weights or data than {CONFIG} beside it records, of another "
                f"average or of another version of the program ({', '.join(keys)}); make it "
                f"again: vct prior {run}, then vct sample {run}"
            )
        return found.get("fitted")

    def _prior_record(self, of: PriorRecord) -> PriorRecord:
        """What the file of a prior of this run says; the start of another prior in it is free."""
        sample, files = self.sample, self.record.files
        averages = () if sample.ema_width is None else (AVERAGES_FILE,)
        return PriorRecord(
            data_sha256=self.record.run.data_sha256,
            files={name: files.get(name, "") for name in (*provenance.WEIGHTS, *averages)},
            ema_width=sample.ema_width,
            late_start=of.late_start,
            version=versions.SAMPLING,
        )


def _found(folder: Path) -> Path:
    """The folder, which may be called by the name of its run alone."""
    for path in (folder, Path("results") / folder):
        if (path / CONFIG).is_file():
            return path
    there = folder.exists() or (Path("results") / folder).exists()
    why = f"holds no trained model (no {CONFIG})" if there else "is no folder, here or in results"
    raise UserError(
        f"{quoted(folder)} {why}; name the folder of an export, or of a run that is trained (vct "
        "train EXPERIMENT/COUPLING/seedK)."
    )


def _validated(kind, content, folder: Path):  # type: ignore[no-untyped-def]
    try:
        return kind.model_validate(content)
    except ValueError:
        raise UserError(
            f"{folder / CONFIG} was written by another version of this program; load it with that "
            "one."
        ) from None


def _of_run(folder: Path) -> ExportRecord:
    """What an export of a run would say."""
    run = run_of(folder)
    trained = provenance.read_run(run)
    drawn = samples.read_record(run)
    sample = _sample(folder, run, trained, drawn)
    data = _data(folder, trained)
    ends = bounds(data, torch.device("cpu"))
    protocol, scores = scored(run)
    shared = trained.settings["train"].get("conditional") and sample.classes == "as_data"
    counts = np.bincount(data.train.labels, minlength=data.meta.classes) if shared else None
    return ExportRecord(
        run=trained,
        data=data.meta,
        sample=sample.model_dump(mode="json"),
        bounds=[end.flatten().tolist() for end in ends if isinstance(end, Tensor)] or None,
        class_counts=None if counts is None else counts.tolist(),
        sampler_code=None if drawn is None else drawn.own_code,
        protocol=protocol,
        scores=scores,
        files=trained.files or {},
    )


def scored(run: RunId) -> tuple[ProtocolRecord | None, dict[str, Any]]:
    """Protocol and scores of a run; none where they are not of its weights, or not there."""
    try:
        names = (*provenance.SCORED, *provenance.SCORES)
        _, protocol = provenance.checked_scores(run, names)
        return protocol, records.read(Scores, run.directory / "metrics.json").root
    except UserError:
        return None, {}


def run_of(folder: Path) -> RunId:
    """The run whose folder this is.

    Raises:
        UserError: if no run's folder is called like it.
    """
    parts = folder.resolve().parts
    run = RunId.parse("/".join(parts[-3:]))
    return RunId(run.experiment, run.coupling, run.seed, Path(*parts[:-3]))


def _sample(
    folder: Path, run: RunId, trained: RunRecord, drawn: SampleRecord | None
) -> SampleSettings:
    """How the run was sampled; before it was, how params.yaml says that it shall be."""
    if drawn is not None:
        sample = _validated(SampleSettings, drawn.settings, run.directory)
    else:
        near = [place / PARAMS for place in _projects(folder)]
        params = next((path for path in near if path.exists()), PARAMS)
        sample = reading.load(params).experiment(run.experiment).sample
    pool = sample.pool or trained.settings["train"]["batch_size"]
    return sample.model_copy(update={"pool": pool})


def _projects(folder: Path) -> list[Path]:
    """Folders that may be the project of a run: `results` may be a link to another disk."""
    return [*folder.absolute().parents, *folder.resolve().parents, Path()]


def _data(folder: Path, trained: RunRecord) -> Dataset:
    """The data set of a run, from the project that the folder lies in."""
    others = []
    for root in _projects(folder):
        place = root / dataset_dir(trained.dataset)
        if (place / "meta.json").exists():
            data = dataset.load(trained.dataset, root)
            if data.sha256 == trained.data_sha256:
                return data
            others.append(str(place))
    if others:
        raise UserError(
            f"{folder} was trained on other data than {others[0]} holds, and a run cannot be "
            "loaded without them; train it again, or make the data set as it was."
        )
    raise UserError(
        f"the data set '{trained.dataset}' that {folder} was trained on is not there, and a run "
        f"cannot be loaded without it; make it: vct data {trained.dataset}"
    )
