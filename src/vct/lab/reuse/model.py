"""A trained model as an object: samples, posteriors, and the function itself."""

import operator
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from vct.lab import build
from vct.lab.data.batches import to_float
from vct.lab.errors import UserError, quoted
from vct.lab.records import problem
from vct.lab.reuse.description import WEIGHTS, Description
from vct.lab.runs import provenance, weights
from vct.lab.runs.samples import STANDARD
from vct.lab.sampling.classes import in_shares
from vct.lab.sampling.drawing import Drawing, Start, prior_of
from vct.lab.settings.own_code import own_code
from vct.lab.settings.sample import SampleSettings
from vct.misfit import Misfit
from vct.preconditioning import ConsistencyFunction
from vct.samplers.base import parse_key

FITTED = "fitted"
Labels = int | str | Sequence[int | str] | np.ndarray | Tensor
"""A class for all samples, or one for each: numbers, or the names that the data set gave them.

Names that are numbers themselves come first: then a number that is another class's is refused."""


class LoadedModel(nn.Module):
    """The averaged network and its coupling, as they were sampled.

    Called, it is the consistency function f(x_t, t, labels), or of objectives edm and flow the
    denoiser: x_t (B, C, H, W), t (B,) in (0, t_max], one-hot labels (B, K) where it was trained
    with labels.

    Args:
        description: what was found on disk.
    """

    network: nn.Module

    def __init__(self, description: Description) -> None:
        super().__init__()
        self.description = description
        self.settings = description.settings
        if other := provenance.other_code(self.settings, description.record.run):
            raise UserError(
                f"{description.folder} was trained with code of {', '.join(other)} that is not "
                "here, or not as it was; put it where Python finds it, as it was."
            )
        model = build.model(self.settings, description.data(), description.record.run.id.seed)
        weights.fill(model, description.tensors(model), description.folder / WEIGHTS)
        self.network, self.coupling = model.network, model.coupling
        self._prior = description.prior()
        self.eval().requires_grad_(False)

    @classmethod
    def of(cls, folder: str | Path) -> "LoadedModel":
        """The model in a folder; see `vct.load`."""
        return cls(Description.of(folder))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a sample."""
        channels, height, width = self.description.record.data.shape
        return channels, height, width

    @property
    def classes(self) -> int:
        """Number of classes K that it was trained with; 0 if it was trained without labels."""
        return self.description.record.data.classes if self.settings.train.conditional else 0

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, where the data set gave them."""
        return self.description.record.data.class_names if self.classes else []

    @property
    def priors(self) -> list[str]:
        """What sampling may start from: N(0, I), `standard`, and perhaps the `fitted` Gaussian."""
        return [STANDARD, *([FITTED] if self._prior is not None else [])]

    @property
    def scores(self) -> dict[str, Any]:
        """Scores of its samples by their key and metric, where it was scored."""
        return self.description.record.scores

    @property
    def function(self) -> ConsistencyFunction:
        """f with its boundary condition, for a loop or a sampler of your own."""
        return build.consistency_function(self.settings.train, self.network)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.function(x, t, labels)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        steps: int | None = None,
        labels: Labels | None = None,
        seed: int = 0,
        prior: str = STANDARD,
        mid_times: Sequence[float] | None = None,
        inputs: Tensor | np.ndarray | None = None,
    ) -> Tensor:
        """Samples (n, C, H, W): images in [-1, 1], points as the data are.

        The same seed gives the same samples, and sample i whatever n is (to rounding), except where
        a coupling pairs samples with each other, or where more samples of Sobol noise are asked for
        than the run has. With the seed, number and prior of the run's own
        samples they are those in its `samples.npz`, which of a model that restores images were made
        of held-out ones.

        Args:
            n: how many, at least 1.
            steps: calls of the network for each; if left out the fewest, with `mid_times` all.
            labels: of a model with classes; if left out, in turn or in the shares of its training
                data, as its own samples (which exports of before did not tell: in turn).
            seed: of all noise.
            prior: what they start from, of `priors`.
            mid_times: noise levels of the later steps, falling; those of the protocol if left out.
            inputs: images to restore (M, C, H, W) in [-1, 1] or of 8 bits, in turn; smaller ones,
                where the model was trained for these. What is hidden is not looked at.

        Raises:
            UserError: if there is no such prior, class or number of steps, or if images to restore
                are missing or of another shape.
        """
        _at_least_one(n)
        drawing = self._drawing(n, labels, seed, mid_times)
        if inputs is not None or self.restores:
            drawing = replace(drawing, starts={STANDARD: self._start(inputs, labels)})
        if steps is None and mid_times is not None:
            steps = len(mid_times) + 1
        key = self._key(drawing, steps)
        if prior not in drawing.starts:
            raise UserError(f"prior: {quoted(prior)} is none of {', '.join(drawing.starts)}.")
        x = torch.cat(list(drawing.some_results(prior, key, n)))
        return x if self.description.data().is_points else x.clamp(-1, 1)

    def _drawing(
        self, n: int, labels: Labels | None, seed: int, mid_times: Sequence[float] | None
    ) -> Drawing:
        sample, code = self.description.sample, self.description.record.sampler_code
        if code is not None and own_code(sample).get("own_code") != code:
            raise UserError(
                f"{self.description.folder} was sampled with code of {', '.join(code)} that is not "
                "here, or not as it was; put it where Python finds it, as it was, or sample again."
            )
        new: dict[str, Any] = {"num_samples": max(n, sample.num_samples), "seed": seed}
        new["classes"] = "in_turn"  # the data are not here; what is known of their shares is below
        shares = self.description.record.class_counts
        classes = None if labels is None else self._indices(labels, n)
        if labels is None and shares is not None:
            classes = torch.from_numpy(in_shares(np.array(shares), n))
        if mid_times is not None:
            self._check_times(sample, mid_times)
            new["mid_times"] = list(mid_times)
        try:
            sample = SampleSettings.model_validate({**sample.model_dump(mode="json"), **new})
        except ValidationError as error:
            raise UserError(f"no such samples: {problem(error)}.") from None
        device = next(self.parameters()).device
        starts: dict[str, Start] = {STANDARD: prior_of(self.coupling)}
        if self._prior is not None:
            fitted = self._prior.to(device)
            starts[FITTED] = lambda noise, first, one_hot: fitted(noise, one_hot)
        return Drawing(
            self.function,
            self.coupling,
            build.sampler(sample, self.settings.train.t_max, self.description.bounds(device)),
            self.description.data(),
            sample,
            sample.pool or self.settings.train.batch_size,
            starts,
            self.classes,
            device,
            labels=classes,
        )

    @property
    def restores(self) -> bool:
        """Whether it makes images of given ones instead of noise alone."""
        return self.coupling.from_data

    def _start(self, inputs: Tensor | np.ndarray | None, labels: Labels | None) -> Start:
        """Sampling from images to restore, one after another."""
        if not self.restores:
            raise UserError("inputs: this model starts from noise alone; leave them out.")
        if inputs is None or not len(inputs):
            raise UserError("this model restores images; give it some, as inputs.")
        if self.classes and labels is None:
            raise UserError("labels: this model was trained with labels; give those of inputs.")
        inputs = torch.as_tensor(inputs)
        if not inputs.is_floating_point() and inputs.dtype != torch.uint8:
            raise UserError(f"inputs: {inputs.dtype} is neither float, in [-1, 1], nor 8 bits.")
        data, device = self.description.data(), next(self.parameters()).device
        known = to_float(data, inputs) if inputs.dtype == torch.uint8 else inputs.float()
        known = known.to(device)
        try:
            self.coupling.begin(known[:1], known.new_zeros(1, *self.shape))
        except (Misfit, RuntimeError, ValueError):
            raise UserError(
                f"inputs: images of shape {tuple(inputs.shape[1:])} are not what this model "
                f"restores to {self.shape}; give them as they were in its training."
            ) from None

        def start(noise: Tensor, first: int, one_hot: Tensor | None) -> Tensor:
            index = torch.arange(first, first + len(noise), device=device) % len(known)
            return self.coupling.begin(known[index], noise)

        return start

    def _check_times(self, sample: SampleSettings, mid_times: Sequence[float]) -> None:
        if sample.sampler is not None:
            raise UserError(f"mid_times: the sampler {sample.sampler.member} has its own times.")
        times = [self.settings.train.t_max, *mid_times, self.function.t_min or 0.0]
        if not all(high > low for high, low in pairwise(times)):
            raise UserError(f"mid_times: {list(mid_times)} must fall, from t_max {times[0]:g} on.")

    def _key(self, drawing: Drawing, steps: int | None) -> str:
        """The sampler's key of a number of steps."""
        counts = {found[1]: key for key in drawing.sampler.schedules if (found := parse_key(key))}
        if steps is None:
            return counts[min(counts)]
        if steps not in counts:
            known = ", ".join(map(str, sorted(counts)))
            raise UserError(
                f"steps: {steps} are not among those that this model is sampled with ({known}); "
                "in Python, sample(n, mid_times=[...]) takes the noise levels of others."
            )
        return counts[steps]

    def _indices(self, labels: Labels, n: int) -> Tensor:
        """Classes (n,) int64."""
        if not self.classes:
            raise UserError("labels: this model was trained without; leave them out.")
        one = isinstance(labels, str) or not hasattr(labels, "__len__")
        given = [labels] * n if one else list(labels)  # type: ignore[arg-type]
        if len(given) != n:
            raise UserError(f"labels: {len(given)} for {n} samples; give one for all, or as many.")
        return torch.tensor([self._index(each) for each in given])

    def _index(self, label: Any) -> int:
        names = self.class_names
        named = label in names
        number = names.index(label) if named else label
        try:
            number = int(number) if isinstance(number, str) else operator.index(number)
        except (TypeError, ValueError):
            number = -1
        if not 0 <= number < self.classes:
            known = f"0 to {self.classes - 1}" + (f" ({', '.join(names[:20])})" if names else "")
            raise UserError(f"labels: {quoted(label)} is no class of this model; it knows {known}.")
        word = str(number)
        if not named and word in names and names.index(word) != number:
            raise UserError(
                f"labels: number {number} is class {quoted(names[number])} of this model, and "
                f"{quoted(word)} is the name of another; give the name, as text."
            )
        return number

    @torch.no_grad()
    def encode(self, x: Tensor, labels: Labels | None = None) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (B, C, H, W) of the noise that the coupling gives to x.

        Args:
            x: data (B, C, H, W): images in [-1, 1] or of 8 bits, or points.
            labels: their classes, where the model was trained with labels.

        Raises:
            UserError: if x has another shape, or if the coupling has no posterior.
        """
        if tuple(x.shape[1:]) != self.shape or not len(x):
            raise UserError(f"x: the shape is {tuple(x.shape)}, not (B, {self.shape}) with B > 0.")
        if self.classes and labels is None:
            raise UserError("labels: this model was trained with labels; give those of x.")
        device = next(self.parameters()).device
        data = self.description.data()
        x = to_float(data, x) if x.dtype == torch.uint8 else x.float()
        one_hot = None
        if labels is not None:
            index = self._indices(labels, len(x))
            one_hot = nn.functional.one_hot(index, self.classes).float().to(device)
        found = self.coupling.posterior(x.to(device), one_hot)
        if found is None:
            raise UserError(
                f"the coupling '{self.settings.coupling.member}' gives x no Gaussian noise; that "
                "does one with an encoder, over independent noise."
            )
        return found


def _at_least_one(n: int) -> None:
    if n < 1:
        raise UserError(f"n: {n} samples; ask for 1 or more.")
