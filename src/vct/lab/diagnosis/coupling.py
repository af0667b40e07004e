"""What a coupling does to the pairs, and to the noise that the model is trained on."""

import torch
from torch import Tensor

from vct import rng
from vct.diagnostics import ambiguity, marginal
from vct.diagnostics.straightness import straightness
from vct.diagnostics.transport import transport_cost
from vct.lab.data.batches import in_order
from vct.lab.diagnosis.findings import Findings
from vct.lab.diagnosis.subject import Subject
from vct.lab.sampling import priors
from vct.priors import GaussianPrior

COMPARED = 1000
"""Pairs of the assignment and of the two-sample test, whose costs grow fast."""


def coupling(subject: Subject, fitted: GaussianPrior | None) -> Findings:
    """Transport cost, ambiguity along t and straightness of the paths, moments of the noise, and
    tests of it against N(0, I) and the fitted prior."""
    found = Findings()
    count = min(subject.settings.pairs, len(subject.data.train.x))
    # A data point or a noise that is there twice would tell of itself, and costs no plan anything.
    x, z = subject.distinct_pairs(count)
    found.numbers["transport_share"] = transport_cost(x[:COMPARED], z[:COMPARED]).share
    bound = ambiguity.ambiguity_bound(x, z, subject.kernel, subject.times())
    for point in bound:
        found.point("ambiguity_bound", point.t, point.value)
    if (known := posterior(subject)) is not None:
        draws = rng.generator(subject.seed, "ambiguity")
        exact = ambiguity.posterior_ambiguity(
            *known, subject.kernel, subject.times(), subject.settings.pairs, draws
        )
        for point in exact:
            found.point("ambiguity", point.t, point.value)
        found.numbers["straightness"] = straightness(exact, subject.kernel)
    found.numbers["straightness_bound"] = straightness(bound, subject.kernel)
    _, noise = subject.pairs(count)  # of its own law, whatever x it is paired with
    found.add(_marginal(subject, once(noise), fitted))
    return found


def once(z: Tensor) -> Tensor:
    """z (N, ...) without what is there again: repeated noise says no more of its law, and a test
    that takes it for more finds a difference where there is none."""
    _, groups = torch.unique(z.flatten(1), dim=0, return_inverse=True)
    places = torch.arange(len(z), device=z.device)
    first = places.new_full((int(groups.max()) + 1,), len(z)).scatter_reduce(
        0, groups, places, "amin"
    )
    return z[first.sort().values]


def posterior(subject: Subject) -> tuple[Tensor, Tensor, Tensor] | None:
    """x, and mean and standard deviation of z given x, of all training data, where z is Gaussian
    given x; else None: also where x may be generated, or x_t is told the class of x. Mirrored data
    too where training does."""
    coupling, train = subject.model.coupling, subject.train
    if train.conditional or not coupling.keeps_data:
        return None
    if not coupling.independent and not priors.has_posterior(
        coupling, subject.data, train.conditional, subject.device
    ):
        return None
    rows = []
    for batch in in_order(subject.data, priors.BATCH, subject.device, train.conditional):
        for x in (batch.x, batch.x.flip(3)) if train.flip else (batch.x,):
            with torch.no_grad():
                found = coupling.posterior(x, batch.labels)
            rows.append((x, *(found or (torch.zeros_like(x), torch.ones_like(x)))))
    x, mean, std = (torch.cat(parts) for parts in zip(*rows, strict=True))
    return x, mean, std


def _marginal(subject: Subject, z: Tensor, fitted: GaussianPrior | None) -> Findings:
    found = Findings()
    moments = marginal.moments(z)
    found.numbers |= {"noise_variance": moments.variance, "noise_kl": moments.kl}
    some, seed = z[:COMPARED], subject.seed
    eps = rng.normal(tuple(some.shape), seed, "prior", device=subject.device)
    starts = {"standard": eps}
    if fitted and not subject.train.conditional:  # else it is of a class
        starts["fitted"] = fitted(eps)
    for name, start in starts.items():
        generator = rng.generator(seed, "permutations")
        test = marginal.two_sample(some, start, generator, subject.settings.permutations)
        found.numbers[f"mmd_{name}"] = test.mmd2
        found.numbers[f"mmd_{name}_p"] = test.p_value
    return found
