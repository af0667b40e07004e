"""Parameters, arithmetic and memory of a training step, counted without computing anything.

The real modules, loss and backward pass run on tensors that have shapes and no values
(torch's FakeTensorMode), so that a step of 512 images of a large network takes seconds and no
memory. FLOP are those of matrix products, convolutions and attention, two for each multiply-add.
"""

import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import (
    FlopCounterMode,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)

from vct import tangents
from vct.couplings.base import PairingContext
from vct.lab import build
from vct.lab.data.dataset import Dataset
from vct.lab.model import Model
from vct.lab.settings.couplings import CouplingSettings, IndependentSettings
from vct.lab.settings.run import RunSettings
from vct.objectives.base import Levels, Objective
from vct.preconditioning import ConsistencyFunction
from vct.rng import Draw


@dataclass(frozen=True)
class Counts:
    """What one run is made of.

    Args:
        network: parameters of F.
        coupling: parameters of the coupling: of its encoder, if it has one.
        tensors: number of parameter tensors of both.
        network_bytes, model_bytes: parameters and buffers of F alone and of both.
        forward: FLOP of an evaluation of F, per image.
        couple: FLOP of the coupling when it re-noises a sample, per image.
        step: FLOP of a training step, per image.
        activations: bytes kept for the backward pass of one micro-batch.
        posterior: whether noise is Gaussian given an image, so that priors are fitted to it.
        independent: whether the coupling leaves noise as it is, plans of transport left out.
    """

    network: int
    coupling: int
    tensors: int
    network_bytes: int
    model_bytes: int
    forward: float
    couple: float
    step: float
    activations: int
    posterior: bool
    independent: bool


def count(settings: RunSettings, dataset: Dataset, micro_batch: int) -> Counts:
    """Count what a step of `micro_batch` images takes; linear in it but for `activations`.

    Autocast to bfloat16 follows the rules of CPUs, and takes the statistics of normalisations for
    bfloat16 too; on GPUs, normalisations stay float32 and keep more. The averaged model of
    generator-augmented couplings has the arithmetic of the trained one, which takes its place here.
    """
    train = settings.train.model_copy(update={"compile": False})
    plain = settings.model_copy(update={"coupling": without_transport(settings.coupling)})
    objective = build.objective(train)
    generator = torch.Generator().manual_seed(0)
    levels = objective.levels(0, train.steps, micro_batch, generator)
    with FakeTensorMode() as mode:
        model = build.model(plain, dataset, seed=0).train()
        build.prepare(model, train, torch.device("cpu"))
        x = torch.empty(micro_batch, *dataset.shape)
        classes = dataset.meta.classes
        labels = torch.empty(micro_batch, classes) if train.conditional else None
        f = ConsistencyFunction(
            model.network, build.kernel(train), train.sigma_data, objective.train_t_min
        )
        step = Step(model, objective, f, x, labels, _without_values(levels, mode))
        with torch.no_grad():
            forward = flops(lambda: f(x, step.levels.t, labels))
            couple = flops(lambda: model.coupling.couple(x, x, labels))
            posterior = model.coupling.posterior(x, labels) is not None
        total, kept = step.count()
    return Counts(
        network=_elements(model.network),
        coupling=_elements(model.coupling),
        tensors=len(list(model.parameters())),
        network_bytes=_bytes(model.network),
        model_bytes=_bytes(model),
        forward=forward / micro_batch,
        couple=couple / micro_batch,
        step=(total + calls_of(settings.coupling) * forward) / micro_batch,
        activations=kept,
        posterior=posterior and not model.coupling.from_data,
        independent=model.coupling.independent,
    )


def calls_of(coupling: CouplingSettings) -> float:
    """Calls of the averaged network for each sample that `without_transport` leaves out."""
    twice = getattr(coupling, "noise", "keep") == "recouple"
    return sum(part.calls() for part in coupling.parts()) * (2 if twice else 1)


def without_transport(coupling: CouplingSettings) -> CouplingSettings:
    """The coupling with plans of transport left out, and what else chooses among noise.

    They need its values; exact plans are made on the CPU.
    """
    if coupling.transports or coupling.needs_values:
        return IndependentSettings(kind="independent")
    base = getattr(coupling, "base", None)
    if base is None:
        return coupling
    return coupling.model_copy(update={"base": without_transport(base)})


def _without_values(levels: Levels, mode: FakeTensorMode) -> Levels:
    t, r, weight = (mode.from_tensor(part) for part in (levels.t, levels.r, levels.weight))
    return replace(levels, t=t, r=r, weight=weight)


@dataclass(frozen=True)
class Step:
    """A micro-batch of a training step, in the order of `vct.lab.training.step`."""

    model: Model
    objective: Objective
    f: ConsistencyFunction
    x: Tensor
    labels: Tensor | None
    levels: Levels

    def count(self) -> tuple[int, int]:
        """FLOP of forward and backward pass, and most bytes that the first keeps for the second."""
        with Flops() as counter, _counted_derivatives():
            kept = Kept(self.model)
            with torch.autograd.graph.saved_tensors_hooks(kept.pack, kept.unpack):
                total = self.loss()
            total.backward()
        return counter.get_total_flops(), kept.most

    def loss(self) -> Tensor:
        """The loss to differentiate."""
        levels, coupling, draw = self.levels, self.model.coupling, Draw(0, 0)
        context = PairingContext(
            levels.t,
            levels.r,
            self.f.kernel,
            self.f,
            draw,
            self.labels,
            indices=torch.zeros(len(self.x), dtype=torch.int64),
        )
        pair = coupling.pair(self.x, torch.empty_like(self.x), context)
        weight = coupling.kl_weight
        return self.objective.loss(self.f, pair, levels, self.labels, weight, draw).total


@contextmanager
def _counted_derivatives() -> Iterator[None]:
    """A forward-mode derivative costs two calls, and torch has it for no tensors without values."""

    @torch.no_grad()
    def twice(
        call: Callable[..., Tensor], at: tuple[Tensor, ...], along: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor]:
        return call(*at), torch.zeros_like(call(*at))

    whole, tangents.derivative = tangents.derivative, twice
    try:
        yield
    finally:
        tangents.derivative = whole


class Kept:
    """The most bytes that autograd keeps at a time, beside the parameters of `model`.

    Use `pack` and `unpack` as hooks of saved tensors. Storage that several tensors share counts
    once, and no longer than the last of them.
    """

    def __init__(self, model: nn.Module) -> None:
        self._parameters = {_storage(parameter) for parameter in model.parameters()}
        self._holders: Counter[int] = Counter()
        self._now = self.most = 0

    def pack(self, tensor: Tensor) -> "_Saved":
        """Note what autograd keeps."""
        # Detached: an output that holds its own graph would never be let go.
        saved = _Saved(tensor.detach())
        storage, size = _storage(tensor), tensor.untyped_storage().nbytes()
        if storage not in self._parameters:
            self._now += 0 if self._holders[storage] else size
            self._holders[storage] += 1
            self.most = max(self.most, self._now)
            weakref.finalize(saved, self._release, storage, size).atexit = False
        return saved

    def _release(self, storage: int, size: int) -> None:
        self._holders[storage] -= 1
        self._now -= 0 if self._holders[storage] else size

    @staticmethod
    def unpack(saved: "_Saved") -> Tensor:
        """Give it back to autograd."""
        return saved.tensor


class _Saved:
    """A tensor in autograd's keeping."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


class Flops(FlopCounterMode):
    """Counts the whole, not each module: following modules would keep their graphs alive."""

    def __init__(self) -> None:
        super().__init__(display=False, custom_mapping=ATTENTION)
        self.mod_tracker: Any = Untracked()


class Untracked(nullcontext):
    """In place of torch's ModuleTracker."""

    parents = frozenset({"Global"})


def _attention(query, key, value, *rest: Any, **more: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(gradient, query, key, value, *rest: Any, **more: Any) -> int:
    return sdpa_backward_flop_count(gradient, query, key, value)


ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
"""The counter knows the kernels of GPUs; that of CPUs, which runs here, does the same work."""


def flops(call: Callable[[], object]) -> int:
    """FLOP of a call."""
    with Flops() as counter:
        call()
    return counter.get_total_flops()


def _elements(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _bytes(module: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in module.state_dict().values())
