"""Held-out log-likelihood of forms of a Gaussian prior for more dimensions than a whole covariance.

z = x + std eps stands for the aggregate posterior of a coupling whose encoder keeps images x in
[-1, 1] and adds noise; std 0 is the images themselves. The cosine basis is the orthonormal DCT-II
of each channel, in which images are nearly stationary and neighbours nearly independent; `rgb`
turns the channels to their principal axes before.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.fft import dctn
from torch import Tensor

from vct.lab.data import dataset
from vct.lab.data.sources.image_folder import ImageFolder
from vct.priors import GaussianPrior, fit

STDS, RANKS, BATCH = (0.0, 0.1, 0.5, 0.85), (64, 256), 500


def main(path: str) -> None:
    """Print nats per dimension, more is better; `path` is a folder or zip of images with folders
    train and test."""
    train, test = images(path)
    turned = axes(train)
    bases: dict[str, Callable[[Tensor], Tensor]] = {
        "pixels": lambda x: x,
        "cosine": cosine,
        "cosine, rgb": lambda x: cosine(torch.einsum("bchw,cd->bdhw", x, turned)),
    }
    print(f"{len(train)} images, {train[0].numel()} dimensions")
    print(f"{'basis, directions':24}" + "".join(f"{f'std {std}':>10}" for std in STDS) + "   s")
    for name, basis in bases.items():
        mu, held_out = basis(train), basis(test)
        for rank in (0, *RANKS):
            begin, found = time.process_time(), []
            for std in STDS:
                prior = fitted(mu, std, rank)
                noise = torch.randn(held_out.shape, generator=torch.Generator().manual_seed(0))
                found.append(log_density(prior, held_out + std * noise))
            seconds = (time.process_time() - begin) / len(STDS)
            print(
                f"{f'{name}, {rank}':24}" + "".join(f"{x:10.4f}" for x in found), f"{seconds:5.1f}"
            )


def images(path: str) -> tuple[Tensor, Tensor]:
    """Those to fit to and those to be judged by (N, C, H, W), in [-1, 1]."""
    with tempfile.TemporaryDirectory() as folder:
        source = ImageFolder(str(Path(path).resolve()), test="own")
        dataset.write("images", source, {}, Path(folder))
        data = dataset.load("images", Path(folder))
        train, test = (
            torch.from_numpy(np.array(part.x)) / 127.5 - 1 for part in (data.train, data.test)
        )
    return train, test


def axes(x: Tensor) -> Tensor:
    """Principal axes of the channels (C, C)."""
    return torch.linalg.eigh(torch.cov(x.transpose(0, 1).flatten(1)))[1]


def cosine(x: Tensor) -> Tensor:
    """Coefficients (B, C, H, W) of images in the cosine basis."""
    return torch.from_numpy(dctn(x.numpy(), axes=(2, 3), norm="ortho"))


def fitted(mu: Tensor, std: float, rank: int) -> GaussianPrior:
    """`vct.priors.fit` as where dimensions are too many; with rank 0 the diagonal alone."""
    if rank:
        parts = mu.split(BATCH)
        return fit(lambda: ((part, torch.full_like(part, std)) for part in parts), 0, rank)
    flat = mu.flatten(1).double()
    scale = (flat.var(dim=0, correction=0) + std**2).sqrt()
    nothing = torch.zeros(len(scale), 0), torch.zeros(0)
    return GaussianPrior(flat.mean(dim=0).float(), scale.float(), *nothing)


def log_density(prior: GaussianPrior, z: Tensor) -> float:
    """Mean log density in nats per dimension."""
    off = (z.flatten(1) - prior.mean).double() / prior.scale.double()
    basis, gain = prior.basis.double(), 1 + prior.gain.double()
    along = off @ basis
    squared = off.square().sum(dim=1) + ((gain**-2 - 1) * along.square()).sum(dim=1)
    size = prior.scale.double().log().sum() + gain.log().sum()
    each = -0.5 * squared - size - 0.5 * np.log(2 * np.pi) * off.shape[1]
    return float(each.mean()) / off.shape[1]


if __name__ == "__main__":
    main(*sys.argv[1:])
