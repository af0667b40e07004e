"""The same mathematics written plainly, with which our step is compared.

Separate modules for norm, SiLU and dropout, whose masks torch draws twice; an exact plan by POT in
each step; one tensor after the other in optimiser and average; a look at the loss in each step.
"""

import copy
import math
from typing import Any

import numpy as np
import ot
import torch
from torch import Tensor, nn
from torch.nn import functional

from vct import rng
from vct.lab.training.trainer import Trainer
from vct.networks.groups import group_count
from vct.networks.unet import DDPMpp


class Block(nn.Module):
    """A residual block of DDPM++; its parameters have the names of ours."""

    def __init__(self, like: Any) -> None:
        super().__init__()
        inputs, outputs = like.conv0.in_channels, like.conv0.out_channels
        self.norm0 = nn.GroupNorm(group_count(inputs), inputs, eps=1e-6)
        self.conv0 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.affine = nn.Linear(like.affine.in_features, outputs)
        self.norm1 = nn.GroupNorm(group_count(outputs), outputs, eps=1e-6)
        self.conv1 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = None if like.skip is None else nn.Conv2d(inputs, outputs, 1)
        resample = like.conv0.resample
        self.resample = {"up": nn.Upsample(scale_factor=2), "down": nn.AvgPool2d(2)}.get(resample)
        self.silu, self.dropout = nn.SiLU(), nn.Dropout(like.dropout)
        self.attention = like.attention
        if like.attention:
            self.norm2 = nn.GroupNorm(group_count(outputs), outputs, eps=1e-6)
            self.qkv = nn.Conv2d(outputs, 3 * outputs, 1)
            self.proj = nn.Conv2d(outputs, outputs, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.silu(self.norm0(x))
        if self.resample is not None:
            h, x = self.resample(h), self.resample(x)
        h = self.conv0(h) + self.affine(embedding)[:, :, None, None]
        h = self.conv1(self.dropout(self.silu(self.norm1(h))))
        x = (h + (x if self.skip is None else self.skip(x))) / math.sqrt(2)
        return (x + self._attend(x)) / math.sqrt(2) if self.attention else x

    def _attend(self, x: Tensor) -> Tensor:
        b, c, height, width = x.shape
        query, key, value = self.qkv(self.norm2(x)).reshape(b, c, 3, height * width).unbind(2)
        weights = torch.softmax(torch.einsum("bcq,bck->bqk", query, key) / math.sqrt(c), dim=2)
        return self.proj(torch.einsum("bqk,bck->bcq", weights, value).reshape(x.shape))


class UNet(nn.Module):
    """DDPM++ with the weights of ours, unconditional."""

    def __init__(self, ours: DDPMpp) -> None:
        super().__init__()
        self.channels = ours.channels
        self.map_layer0, self.map_layer1 = (
            copy.deepcopy(ours.map_layer0),
            copy.deepcopy(ours.map_layer1),
        )
        self.enc, self.dec = nn.ModuleDict(), nn.ModuleDict()
        for mine, theirs in ((self.enc, ours.enc), (self.dec, ours.dec)):
            for name, layer in theirs.items():
                if isinstance(layer, nn.GroupNorm):
                    mine[name] = nn.GroupNorm(layer.num_groups, layer.num_channels, eps=layer.eps)
                elif isinstance(layer, nn.Conv2d):
                    mine[name] = nn.Conv2d(layer.in_channels, layer.out_channels, 3, padding=1)
                else:
                    mine[name] = Block(layer)
        buffers = {name for name, _ in ours.named_buffers()}
        self.load_state_dict({k: v for k, v in ours.state_dict().items() if k not in buffers})

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        exponents = torch.arange(self.channels // 2) / (self.channels // 2 - 1)
        angles = torch.outer(c_noise, 1e-4**exponents)
        embedding = torch.cat([angles.sin(), angles.cos()], dim=1)
        for layer in (self.map_layer0, self.map_layer1):
            embedding = functional.silu(layer(embedding))
        skips = []
        for layer in self.enc.values():
            x = layer(x, embedding) if isinstance(layer, Block) else layer(x)
            skips.append(x)
        for name, layer in self.dec.items():
            if "_block" in name:
                x = torch.cat([x, skips.pop()], dim=1)
            x = layer(x, embedding) if isinstance(layer, Block) else layer(x)
            if name.endswith("_aux_norm"):
                x = functional.silu(x)
        return x


class Yardstick:
    """Steps of a training like that of `ours`, from its weights."""

    def __init__(self, ours: Trainer) -> None:
        self.ours, self.train = ours, ours.train
        self.network = UNet(ours.model.network).train()
        encoder = getattr(ours.model.coupling, "encoder", None)
        self.encoder = None if encoder is None else UNet(encoder).train()
        parts = [self.network] + ([] if self.encoder is None else [self.encoder])
        self.parameters = [each for part in parts for each in part.parameters()]
        rate = ours.train.optimizer.learning_rate
        self.optimizer = torch.optim.Adam(self.parameters, lr=rate, foreach=False)
        self.average = [each.detach().clone() for each in self.parameters]

    def step(self, step: int) -> float:
        """One step; the loss."""
        self.optimizer.zero_grad()
        loss = self.loss(step)
        loss.backward()
        for each in self.parameters:
            torch.nan_to_num_(each.grad, nan=0.0, posinf=0.0, neginf=0.0)
        self.optimizer.step()
        with torch.no_grad():
            for average, each in zip(self.average, self.parameters, strict=True):
                average.mul_(0.999).add_(each, alpha=0.001)
        return loss.item()

    def loss(self, step: int) -> Tensor:
        """Of the step's batch, noise and levels, which are ours."""
        x = self.ours.batches.at(step).x
        objective, seed = self.ours.loss.objective, self.ours.seed
        times = rng.generator(seed, step, "times")
        levels = objective.levels(step, self.train.steps, len(x), times)
        z, kl = self.couple(x, rng.normal(tuple(x.shape), seed, step, "noise", device=x.device))
        torch.manual_seed(step)
        student = self.f(x, z, levels.t)
        torch.manual_seed(step)
        with torch.no_grad():
            teacher = self.f(x, z, levels.r)
        distance = objective.distance(student, teacher)
        weight = self.ours.model.coupling.kl_weight * levels.kl_scale
        return (levels.weight * distance).mean() + weight * kl

    def f(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """f(x + t z, t) of a VE kernel."""
        t = t[:, None, None, None]
        sd, x_t, elapsed = self.train.sigma_data, x + t * z, t - self.ours.loss.objective.t_min
        c_in = 1 / torch.sqrt(sd**2 + t**2)
        raw = self.network(c_in * x_t, torch.log(t.flatten()) / 4)
        return sd**2 / (elapsed**2 + sd**2) * x_t + sd * elapsed * c_in * raw

    def couple(self, x: Tensor, eps: Tensor) -> tuple[Tensor, Any]:
        """z, and its mean KL."""
        if self.encoder is not None:
            raw = self.encoder(x / self.train.sigma_data, torch.zeros(len(x)))
            mean, raw_std = raw.chunk(2, dim=1)
            std = functional.softplus(raw_std + self.ours.model.coupling.shift).clamp(min=1e-6)
            kl = (0.5 * (mean**2 + std**2 - 1) - std.log()).flatten(1).sum(dim=1).mean()
            return mean + std * eps, kl
        if self.ours.model.coupling.plans_ahead:
            return eps[plan(x, eps)], 0.0
        return eps, 0.0


def plan(x: Tensor, eps: Tensor) -> Tensor:
    """The permutation of the exact plan, by POT."""
    cost = torch.cdist(x.flatten(1), eps.flatten(1)) ** 2
    uniform = np.full(len(x), 1 / len(x))
    found = ot.emd(uniform, uniform, cost.double().numpy())
    return torch.from_numpy(found).argmax(dim=1)


def difference(ours: Trainer) -> float:
    """Largest difference of a gradient, relative to the largest gradient; without dropout."""
    plain = Yardstick(ours)
    ours.optimizer.zero_grad(set_to_none=True)
    ours.loss.backward(0, ours.batches.at(0))
    plain.loss(0).backward()
    mine = [each.grad for each in ours.parameters]
    pairs = zip(mine, (each.grad for each in plain.parameters), strict=True)
    largest = max(float(each.abs().max()) for each in mine)
    return max(float((one - two).abs().max()) for one, two in pairs) / largest
