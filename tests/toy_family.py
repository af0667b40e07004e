"""A toy member of every family, as a user would write it in one file beside params.yaml."""

import numpy as np
import torch
from torch import nn

from vct.averages.ema import EMA
from vct.couplings.base import Coupling
from vct.kernels import Kernel
from vct.lab.data.sources.base import Source, Split
from vct.lab.metrics.base import Label, Metric
from vct.objectives.base import Levels, Objective
from vct.samplers.base import Sampler


def rings(radius=0.5, count=64):
    """A source: points on a circle, all of one class."""

    def split(size, seed):
        angles = np.random.default_rng(seed).uniform(0, 2 * np.pi, size)
        x = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        return Split(x.astype(np.float32)[:, :, None, None], np.zeros(size, dtype=np.int64))

    return Source(split(count, 0), split(count // 2, 1), 1)


class Squared(Kernel):
    """x_t = x + t^2 z / T: variance explodes late."""

    def data_scale(self, t):
        return torch.ones_like(t)

    def boundary_scale(self, t, t_min):
        return torch.ones_like(t)


class Reversed(Coupling):
    """The noise of the batch, last sample first."""

    def __init__(self, flip=True):
        super().__init__()
        self.flip = flip

    def couple(self, x, eps, labels=None):
        return eps.flip(0) if self.flip else eps


class Fixed(Objective):
    """Two levels of noise, always the same."""

    def __init__(self, t_max, sigma_data, ratio=0.5):
        self.t_max, self.sigma_data, self.ratio = t_max, sigma_data, ratio

    def levels(self, step, total, batch, generator):
        t = torch.full((batch,), self.sigma_data, device=generator.device)
        return Levels(t, self.ratio * t, torch.ones_like(t), 1.0, 1)

    def distance(self, student, teacher):
        return (student - teacher).flatten(1).abs().sum(dim=1)


class Affine(nn.Module):
    """F linear in its input."""

    def __init__(self, shape, outputs, scale=1.0):
        super().__init__()
        self.outputs = outputs
        self.weight = nn.Parameter(scale * torch.ones(outputs))

    def forward(self, x, c_noise, labels=None):
        return x[:, :1] * self.weight[:, None, None]


class Signed(torch.optim.SGD):
    """Gradient descent by signs."""

    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.sign_()
        return super().step(closure)


class Latest(EMA):
    """No average at all."""

    def decay_at(self, step):
        return 0.0


class Halves(Sampler):
    """f at T, then at half of it, with the same noise."""

    noises = 1

    def __init__(self, t_max):
        self.times = [t_max, t_max / 2]
        self.schedules = {"halves2": self.times}

    def __call__(self, f, coupling, noise, labels=None):
        x = None
        for time in self.times:
            t = noise[0].new_full((len(noise[0]),), time)
            z = noise[0] if x is None else coupling.couple(x, noise[0], labels)
            x_t = time * z if x is None else f.kernel(x, z, t)
            x = f(x_t, t, labels)
        yield x


LABELS = {"radius_error": Label(label="error of the radius", lower_is_better=True)}


class Radius(Metric):
    """Mean distance of the samples from the middle, against that of the data."""

    labels = LABELS

    def __init__(self, reference, power=1):
        self.power = power
        self.radius = self._radius(reference)

    def compute(self, samples):
        return {"radius_error": abs(self._radius(samples) - self.radius)}

    def _radius(self, points):
        return float((np.linalg.norm(points.reshape(len(points), -1), axis=1) ** self.power).mean())
