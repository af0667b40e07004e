"""`prior.safetensors` of a run: the Gaussian that sampling may start from instead of N(0, I)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vct import rng
from vct.couplings.base import Coupling
from vct.lab import versions
from vct.lab.data.batches import chosen, in_order
from vct.lab.data.dataset import Dataset
from vct.lab.errors import UserError
from vct.lab.files.layout import PRIOR_FILE, RunId
from vct.lab.files.tensors import load_sealed, save_sealed
from vct.lab.records import PriorRecord
from vct.lab.runs.samples import STANDARD
from vct.lab.sampling.drawing import Start, standard
from vct.lab.settings.sample import SampleSettings
from vct.lab.settings.train import TrainSettings
from vct.priors import GaussianPrior, fit

BATCH = 500
"""Images whose posterior is computed at a time."""


def write(
    run: RunId,
    train: TrainSettings,
    sample: SampleSettings,
    coupling: Coupling,
    data: Dataset,
    weights: dict[str, str],
    device: torch.device,
) -> bool:
    """Fit the prior of a run to the posteriors of all training data; return whether there are any.

    Args:
        coupling: the trained one, on `device`, in evaluation mode.
        weights: hashes of the files that it is from.

    Raises:
        UserError: if what the coupling answers is not finite.
    """
    tensors: dict[str, Tensor] = {}
    if has_posterior(coupling, data, train.conditional, device):

        def every() -> Iterator[tuple[Tensor, Tensor]]:
            for mean, std in posteriors(coupling, data, train, device):
                if not (mean.isfinite().all() and std.isfinite().all()):
                    raise UserError(
                        f"the posteriors of {run} are not finite, so no prior fits them; train it "
                        "again with a larger kl_weight or with clip_grad_norm."
                    )
                yield mean, std

        prior = fit(every)
        tensors = {name: part.cpu() for name, part in prior.tensors().items()}
    save_sealed(_path(run), "prior", _record(sample, data, weights).content(), tensors)
    return bool(tensors)


def read(
    run: RunId, sample: SampleSettings, data: Dataset, weights: dict[str, str]
) -> GaussianPrior | None:
    """The prior that `write` wrote; None for a coupling that has no posterior.

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
    return GaussianPrior(**tensors) if tensors else None


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
    coupling has a posterior, N(0, I) elsewhere."""
    found: dict[str, Start] = {STANDARD: standard}
    fitted = None if sample.priors == [STANDARD] else read(run, sample, data, weights)
    if fitted is None:
        return found
    fitted = fitted.to(device)
    every: dict[str, Start] = {
        **found,
        "fitted": lambda noise, first, labels: fitted(noise),
        "aggregate": Aggregate(coupling, data, sample.seed, device, train.flip),
    }
    return {name: every[name] for name in sample.priors}


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
    coupling: Coupling, data: Dataset, train: TrainSettings, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """mu and std (B, C, H, W) of all training data, in order; mirrored too where training does."""
    for batch in in_order(data, BATCH, device, train.conditional):
        for x in (batch.x, batch.x.flip(3)) if train.flip else (batch.x,):
            found = coupling.posterior(x, batch.labels)
            assert found is not None
            yield found


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
        version=versions.SAMPLING,
    )


def _path(run: RunId):
    return run.directory / PRIOR_FILE
