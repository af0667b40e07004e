"""`prior.safetensors` of a run: the Gaussians that sampling may start from instead of N(0, I).

One is of z, the other, `late.` before the names of its tensors, of x_t / t at the time t of a late
start (arXiv 2305.19693), which is N(s(t) x / t + mu, std^2) given x. Conditional runs have a mean
of each class.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vct import rng
from vct.couplings.base import Coupling
from vct.lab import build, versions
from vct.lab.data.batches import chosen, in_order
from vct.lab.data.dataset import Dataset
from vct.lab.errors import UserError
from vct.lab.files.layout import PRIOR_FILE, RunId
from vct.lab.files.tensors import load_sealed, save_sealed
from vct.lab.processes.progress import counted
from vct.lab.records import PriorRecord
from vct.lab.runs.samples import STANDARD
from vct.lab.sampling.drawing import Start, prior_of
from vct.lab.settings.sample import SampleSettings
from vct.lab.settings.train import TrainSettings
from vct.priors import GaussianPrior, fit, fit_classes

BATCH = 500
"""Images whose posterior is computed at a time."""
_FITTED, _LATE = "", "late."
"""Before the names of tensors."""


def write(
    run: RunId,
    train: TrainSettings,
    sample: SampleSettings,
    coupling: Coupling,
    data: Dataset,
    weights: dict[str, str],
    device: torch.device,
) -> bool:
    """Fit the priors of a run to the posteriors of all training data; return whether there are any.

    Args:
        coupling: the trained one, on `device`, in evaluation mode.
        weights: hashes of the files that it is from.

    Raises:
        UserError: if what the coupling answers is not finite.
    """
    tensors: dict[str, Tensor] = {}
    known = has_posterior(coupling, data, train.conditional, device)
    times: dict[str, float | None] = {_FITTED: None} if known else {}
    if sample.late_start is not None and (known or coupling.independent):
        times[_LATE] = sample.late_start
    for prefix, time in times.items():

        def every(time: float | None = time) -> Iterator[tuple[Tensor, Tensor]]:
            batches = -(-len(data.train.x) // BATCH) * (1 + train.flip)
            found = posteriors(coupling, data, train, device, time)
            for mean, std in counted(found, batches, f"batches of {BATCH} images"):
                if not (mean.isfinite().all() and std.isfinite().all()):
                    raise UserError(
                        f"the posteriors of {run} are not finite, so no prior fits them; train it "
                        "again with a larger kl_weight or with clip_grad_norm."
                    )
                yield mean, std

        if train.conditional:
            prior = fit_classes(every, lambda: labels(data, train, device))
        else:
            prior = fit(every)
        tensors |= {f"{prefix}{name}": part.cpu() for name, part in prior.tensors().items()}
    save_sealed(_path(run), "prior", _record(sample, data, weights).content(), tensors)
    return bool(tensors)


def read(
    run: RunId, sample: SampleSettings, data: Dataset, weights: dict[str, str]
) -> GaussianPrior | None:
    """The fitted prior alone; see `read_all`."""
    return read_all(run, sample, data, weights).get("fitted")


def read_all(
    run: RunId, sample: SampleSettings, data: Dataset, weights: dict[str, str]
) -> dict[str, GaussianPrior]:
    """The priors that `write` wrote, by name; none for a coupling that has no posterior.

    Raises:
        UserError: if the file is missing or damaged, or of other data, weights or code.
    """
    command = f"vct prior {run}"
    facts, tensors = load_sealed(_path(run), "prior", command)
    if facts != _record(sample, data, weights).content():
        raise UserError(
            f"{_path(run)} is of other data, other weights or another version of the program; make "
            f"it again: {command}"
        )
    return _named(tensors)


def read_file(path: Path) -> tuple[PriorRecord, dict[str, GaussianPrior]]:
    """Of which data and weights the priors in a file are, and the priors by name.

    Raises:
        UserError: if it is damaged.
    """
    facts, tensors = load_sealed(path, "prior", "vct prior RUN")
    return PriorRecord.model_validate(facts), _named(tensors)


def _named(tensors: dict[str, Tensor]) -> dict[str, GaussianPrior]:
    found = {}
    for name, prefix in (("fitted", _FITTED), ("late", _LATE)):
        if f"{prefix}mean" in tensors:
            parts = ("mean", "scale", "basis", "gain")
            found[name] = GaussianPrior(*(tensors[prefix + part] for part in parts))
    return found


def starts(
    run: RunId,
    train: TrainSettings,
    sample: SampleSettings,
    coupling: Coupling,
    data: Dataset,
    weights: dict[str, str],
    device: torch.device,
) -> dict[str, Start]:
    """What sampling starts from, by the name of the prior: all that are asked for where the
    coupling has a posterior, its own elsewhere, mostly N(0, I), and late where noise is
    independent. A coupling that starts from data takes those that were held out.

    Raises:
        UserError: if it needs held-out data and there are none.
    """
    if coupling.from_data:
        if not len(data.test.x):
            raise UserError(
                f"{run} starts from images to restore, and data set '{data.name}' holds none out; "
                "give it a test set."
            )
        classes = range(data.meta.classes if train.conditional else 0)
        if gone := set(classes) - set(data.test.labels.tolist()):
            raise UserError(
                f"{run} starts from held-out images of each class, and data set '{data.name}' "
                f"holds out none of class {min(gone)}; give it a larger test set."
            )
        held_out = replace(data, train=data.test)
        return {STANDARD: Aggregate(coupling, held_out, sample.seed, device)}
    found: dict[str, Start] = {STANDARD: prior_of(coupling)}
    priors = {} if sample.priors == [STANDARD] else read_all(run, sample, data, weights)
    found |= {name: _of(prior.to(device)) for name, prior in priors.items()}
    if "fitted" in priors:
        found["aggregate"] = Aggregate(coupling, data, sample.seed, device, train.flip)
    return {name: found[name] for name in sample.priors if name in found}


def _of(prior: GaussianPrior) -> Start:
    return lambda noise, first, labels: prior(noise, labels)


@dataclass(frozen=True)
class Aggregate:
    """Starts from z of training data, drawn at random for each sample, of its class if it has one.

    Args:
        seed: of the sampling.
        flip: mirror every other one, as training does.
    """

    coupling: Coupling
    data: Dataset
    seed: int
    device: torch.device
    flip: bool = False

    @torch.no_grad()
    def __call__(self, noise: Tensor, first: int, labels: Tensor | None) -> Tensor:
        number = rng.uniform_rows(len(noise), first, self.seed, "aggregate").numpy()
        places = (number * len(self.data.train.x)).astype(np.int64)
        if labels is not None:
            members = [
                np.flatnonzero(self.data.train.labels == label) for label in range(labels.shape[1])
            ]
            mine = [members[label] for label in labels.argmax(dim=1).tolist()]
            places = np.array(
                [which[int(u * len(which))] for which, u in zip(mine, number, strict=True)]
            )
        batch = chosen(self.data, places, self.device, labels is not None)
        x = batch.x
        if self.flip:
            coin = rng.uniform_rows(len(noise), first, self.seed, "aggregate flip") < 0.5
            x = torch.where(coin.to(x.device)[:, None, None, None], x.flip(3), x)
        return self.coupling.couple(x, noise, batch.labels)


@torch.no_grad()
def posteriors(
    coupling: Coupling,
    data: Dataset,
    train: TrainSettings,
    device: torch.device,
    time: float | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """mu and std (B, C, H, W) of all training data, in order; mirrored too where training does.

    Args:
        time: t; gives mean and std of x_t / t in place of those of z.
    """
    kernel = build.kernel(train)
    for batch in in_order(data, BATCH, device, train.conditional):
        for x in (batch.x, batch.x.flip(3)) if train.flip else (batch.x,):
            found = coupling.posterior(x, batch.labels)
            mean, std = (torch.zeros_like(x), torch.ones_like(x)) if found is None else found
            if time is not None:
                mean = kernel(x, mean, x.new_full((len(x),), time)) / time
            yield mean, std


def labels(data: Dataset, train: TrainSettings, device: torch.device) -> Iterator[Tensor]:
    """One-hot labels (B, K) of the same batches of a conditional training."""
    for batch in in_order(data, BATCH, device, True):
        assert batch.labels is not None
        yield from [batch.labels] * (1 + train.flip)


@torch.no_grad()
def has_posterior(
    coupling: Coupling, data: Dataset, conditional: bool, device: torch.device
) -> bool:
    """Whether z is Gaussian given x."""
    first = next(iter(in_order(data, 1, device, conditional)))
    return coupling.posterior(first.x, first.labels) is not None


def _record(sample: SampleSettings, data: Dataset, weights: dict[str, str]) -> PriorRecord:
    return PriorRecord(
        data_sha256=data.sha256,
        files=weights,
        ema_width=sample.ema_width,
        late_start=sample.late_start,
        version=versions.SAMPLING,
    )


def _path(run: RunId):
    return run.directory / PRIOR_FILE
