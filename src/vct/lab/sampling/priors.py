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
from vct.priors import GaussianPrior, fit

BATCH = 500
"""Images whose posterior is computed at a time."""


def write(
    run: RunId, coupling: Coupling, data: Dataset, conditional: bool, weights: dict[str, str]
) -> bool:
    """Fit the prior of a run to the posteriors of all training data; return whether there are any.

    Args:
        coupling: the trained one, on the device to compute on, in evaluation mode.
        weights: hashes of the files that it is from.

    Raises:
        UserError: if what the coupling answers is not finite.
    """
    tensors: dict[str, Tensor] = {}
    if has_posterior(coupling, data, conditional):
        prior = fit(lambda: posteriors(coupling, data, conditional))
        if not all(part.isfinite().all() for part in prior.tensors().values()):
            raise UserError(
                f"the posteriors of {run} are not finite, so no prior fits them; train it again "
                "with a larger kl_weight or with clip_grad_norm."
            )
        tensors = {name: part.cpu() for name, part in prior.tensors().items()}
    save_sealed(_path(run), "prior", _record(data, weights).content(), tensors)
    return bool(tensors)


def read(run: RunId, data: Dataset, weights: dict[str, str]) -> GaussianPrior | None:
    """The prior that `write` wrote; None for a coupling that has no posterior.

    Raises:
        UserError: if the file is missing or damaged, or of other data, weights or code.
    """
    command = f"vct prior {run}"
    facts, tensors = load_sealed(_path(run), "prior", command)
    if facts != _record(data, weights).content():
        raise UserError(
            f"{_path(run)} is of other data, other weights or another version of the program; make "
            f"it again: {command}"
        )
    return GaussianPrior(**tensors) if tensors else None


def starts(
    run: RunId,
    sample: SampleSettings,
    coupling: Coupling,
    data: Dataset,
    weights: dict[str, str],
    device: torch.device,
) -> dict[str, Start]:
    """What sampling starts from, by the name of the prior: all that are asked for where the
    coupling has a posterior, N(0, I) elsewhere."""
    found: dict[str, Start] = {STANDARD: standard}
    fitted = None if sample.priors == [STANDARD] else read(run, data, weights)
    if fitted is None:
        return found
    fitted = fitted.to(device)
    every: dict[str, Start] = {
        **found,
        "fitted": lambda noise, first, labels: fitted(noise),
        "aggregate": Aggregate(coupling, data, sample.seed, device),
    }
    return {name: every[name] for name in sample.priors}


@dataclass(frozen=True)
class Aggregate:
    """Starts from z of training data, drawn at random for each sample, of its class if it has one.

    Args:
        seed: of the sampling.
    """

    coupling: Coupling
    data: Dataset
    seed: int
    device: torch.device

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
        return self.coupling.couple(batch.x, noise, batch.labels)


@torch.no_grad()
def posteriors(
    coupling: Coupling, data: Dataset, conditional: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """mu and std (B, C, H, W) of all training data, in order."""
    device = next(coupling.parameters()).device
    for batch in in_order(data, BATCH, device, conditional):
        found = coupling.posterior(batch.x, batch.labels)
        assert found is not None
        yield found


@torch.no_grad()
def has_posterior(coupling: Coupling, data: Dataset, conditional: bool) -> bool:
    """Whether z is Gaussian given x."""
    device = next(iter(coupling.parameters()), torch.zeros(())).device
    first = next(iter(in_order(data, 1, device, conditional)))
    return coupling.posterior(first.x, first.labels) is not None


def _record(data: Dataset, weights: dict[str, str]) -> PriorRecord:
    return PriorRecord(data_sha256=data.sha256, files=weights, version=versions.SAMPLING)


def _path(run: RunId):
    return run.directory / PRIOR_FILE
