"""What a model has learnt: its distance to the exact consistency function, its Jacobian, and
whether its samples repeat the training data."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence
from torch import Tensor

from vct import rng
from vct.couplings.semidiscrete import Semidiscrete
from vct.diagnostics import jacobian, oracle
from vct.diagnostics.consistency_error import consistency_errors
from vct.diagnostics.exact_consistency import ExactConsistency
from vct.diagnostics.memorisation import memorisation
from vct.diagnostics.oracle import Oracle
from vct.diagnostics.stability import Rest, rests
from vct.lab.diagnosis.coupling import posterior
from vct.lab.diagnosis.findings import Findings
from vct.lab.diagnosis.subject import Subject

STEPS = 48
"""Of the solver of the flow."""
JACOBIANS = 16
"""Points, at every other level of noise: each takes as many passes as there are dimensions."""


def network(subject: Subject, samples: np.ndarray) -> Findings:
    """Curves of the distance to the exact consistency function, and of the part of it that is the
    paths' crossing; of the flow's stability; of the dimension that the Jacobian shows. Then
    memorisation, by pixels. Of class-conditional models, memorisation alone.

    Args:
        samples: (N, C, H, W) as they are scored, of one step from N(0, I).
    """
    found = _repeated(subject, samples)
    if subject.train.conditional:
        return found
    x, z = subject.pairs(subject.settings.points)
    times = subject.times()
    if subject.train.objective.trains != "denoiser":
        found.add(_errors(subject, x, z, times))
    generator = rng.generator(subject.seed, "jacobian")
    some = times[1::2]
    spectra = jacobian.mean_spectra(
        subject.plain, subject.kernel, x[:JACOBIANS], z[:JACOBIANS], some, generator
    )
    for t, spectrum in zip(some, spectra, strict=True):
        found.point("dimension", t, jacobian.gap_dimension(spectrum))
    return found


def _errors(subject: Subject, x: Tensor, z: Tensor, times: Sequence[float]) -> Findings:
    """Nothing for couplings whose exact consistency function nobody knows."""
    found, kernel = Findings(), subject.kernel
    coupling = subject.model.coupling
    if isinstance(coupling, Semidiscrete) and not coupling.entropy:
        # Its paths do not cross: each point of a path belongs to the data point it came from.
        for t in times:
            at = x.new_full((len(x),), t)
            with torch.no_grad():
                away = subject.plain(kernel(x, z, at), at) - x
            found.point("consistency_error", t, float(away.square().mean()))
            found.point("crossing_error", t, 0.0)
    elif (known := _oracle(subject)) is not None:
        exact = ExactConsistency(known, subject.objective.t_min, STEPS)
        errors = consistency_errors(subject.plain, exact, kernel, x, z, times)
        rows = zip(times, errors.model.tolist(), errors.paths.tolist(), strict=True)
        for t, model, paths in rows:
            found.point("consistency_error", t, model)
            found.point("crossing_error", t, paths)
        for rest in _rests(known, subject, times[::-1]):
            found.point("stability", rest.t, rest.eigenvalue)
    return found


def _oracle(subject: Subject) -> Oracle | None:
    """Of the distribution where it is known, else of the training data."""
    modes = subject.data.meta.modes
    coupling = subject.model.coupling
    if modes is not None and coupling.independent and coupling.keeps_data:
        means = torch.tensor(modes.means, device=subject.device)
        shares = None if modes.shares is None else means.new_tensor(modes.shares)
        return oracle.mixture(subject.kernel, means, modes.std, shares)
    known = posterior(subject)
    return None if known is None else oracle.finite(subject.kernel, *known)


def _rests(known: Oracle, subject: Subject, times: Sequence[float]) -> Iterator[Rest]:
    """The flow's fixed points along falling times, as far as they are found."""
    mean = known.shares @ known.x
    start = mean.reshape(subject.data.shape)
    try:
        yield from rests(known.denoise, start, times, np.random.default_rng(subject.seed))
    except (ArithmeticError, ArpackNoConvergence):
        return


def _repeated(subject: Subject, samples: np.ndarray) -> Findings:
    """Nothing of models that restore images: their samples are made of those held out."""
    train, test = np.asarray(subject.data.train.x), np.asarray(subject.data.test.x)
    if not len(test) or subject.model.coupling.from_data:
        return Findings()
    found = memorisation(
        samples,
        train,
        test,
        np.random.default_rng(subject.seed),
        subject.settings.permutations,
        mirrored=subject.train.flip,
    )
    return Findings({"memorisation": found.share, "memorisation_p": found.p_value})
