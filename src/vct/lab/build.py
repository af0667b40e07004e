"""Objects from settings: everything that a training or a sampler is made of."""

from typing import Any

import torch
from torch import nn

from vct import rng
from vct.averages.ema import EMA
from vct.averages.post_hoc import TrackedAverages
from vct.couplings.base import Coupling
from vct.kernels import Kernel
from vct.lab.data.dataset import Dataset
from vct.lab.errors import UserError
from vct.lab.processes import precision
from vct.lab.processes.group import local_rank
from vct.lab.settings import registry
from vct.lab.settings.averages import AverageSettings, PostHocSettings
from vct.lab.settings.base import OwnSettings
from vct.lab.settings.couplings import (
    CouplingSettings,
    GeneratorAugmentedSettings,
    VariationalSettings,
)
from vct.lab.settings.networks import NetworkSettings
from vct.lab.settings.objectives import ECMSettings, EDMSettings, ObjectiveSettings
from vct.lab.settings.optimizer import OptimizerSettings
from vct.lab.settings.run import RunSettings
from vct.lab.settings.runtime import RuntimeSettings
from vct.lab.settings.train import TrainSettings
from vct.objectives.base import Objective as Base

INTERFACES: dict[str, type] = {"network": nn.Module, "coupling": Coupling, "objective": Base}
"""What a user's own class must be."""


class Model(nn.Module):
    """What is trained together: the network F and the coupling with what it learns."""

    network: nn.Module
    coupling: Coupling

    def __init__(self, network: nn.Module, coupling: Coupling) -> None:
        super().__init__()
        self.network, self.coupling = network, coupling


def model(settings: RunSettings, dataset: Dataset, seed: int) -> Model:
    """Network and coupling with initial weights that depend on `seed` alone.

    All couplings of an experiment start from the same network.
    """
    train = settings.train
    classes = _classes(train, dataset) if train.conditional else 0
    network_rng, coupling_rng = rng.key(seed, "init", "network"), rng.key(seed, "init", "coupling")
    with torch.random.fork_rng():
        torch.manual_seed(network_rng)
        net = network(train.network, dataset.shape, dataset.shape[0], classes)
        torch.manual_seed(coupling_rng)
        return Model(net, coupling(settings.coupling, dataset.shape, train.sigma_data))


def _classes(train: TrainSettings, dataset: Dataset) -> int:
    """Number of classes that a conditional network distinguishes."""
    classes = dataset.meta.classes
    if not classes:
        raise UserError(
            f"train.conditional: data set '{train.dataset}' has no labels; give it class labels, "
            "or set conditional to false."
        )
    return classes


def network(
    settings: NetworkSettings, shape: tuple[int, int, int], outputs: int, classes: int = 0
) -> nn.Module:
    """A network F with `outputs` channels."""
    cls = registry.find("network", settings.kind)
    coarsest = 2 ** (len(getattr(settings, "mult", [1])) - 1)
    if shape[1] % coarsest or shape[2] % coarsest:
        raise UserError(
            f"network.mult shrinks images {coarsest} times, which does not divide {shape[1]} x "
            f"{shape[2]} pixels; use fewer levels."
        )
    return _make("network", cls, settings, shape=shape, outputs=outputs, classes=classes)


def coupling(
    settings: CouplingSettings, shape: tuple[int, int, int], sigma_data: float
) -> Coupling:
    """A coupling, with its encoder if it has one."""
    cls = registry.find("coupling", settings.kind)
    given: dict[str, Any] = {"shape": shape, "sigma_data": sigma_data}
    if isinstance(settings, VariationalSettings):
        given["encoder"] = network(settings.encoder, shape, 2 * shape[0])
    if isinstance(settings, GeneratorAugmentedSettings):
        given["base"] = coupling(settings.base, shape, sigma_data)
    return _make("coupling", cls, settings, **given)


def kernel(train: TrainSettings) -> Kernel:
    """The transition kernel."""
    return registry.find("kernel", train.kernel)(train.t_max)


def objective(train: TrainSettings) -> Any:
    """The objective."""
    settings: ObjectiveSettings = train.objective
    given: dict[str, Any] = {"t_max": train.t_max}
    if isinstance(settings, ECMSettings | EDMSettings):
        given |= {"sigma_data": train.sigma_data, "clip": train.kernel == "li"}
    return _make("objective", registry.find("objective", settings.kind), settings, **given)


def _make(family: str, cls: Any, settings: Any, **given: Any) -> Any:
    """Call a class with its settings; a user's class gets its `options`."""
    if isinstance(settings, OwnSettings):
        options = settings.options
    else:
        options = {name: getattr(settings, name) for name in type(settings).model_fields}
        for name in ("kind", "clip_grad_norm"):  # the latter is the trainer's business
            options.pop(name, None)
    if not isinstance(settings, OwnSettings):
        return cls(**{**options, **given})
    try:
        made = cls(**{**options, **given})
    except Exception as error:  # the user's class may fail in any way
        raise UserError(
            f"the {family} '{settings.kind}' does not take these settings "
            f"({type(error).__name__}: {error}); correct its options in params.yaml."
        ) from error
    base = INTERFACES[family]
    if not isinstance(made, base):
        raise UserError(
            f"the {family} '{settings.kind}' is no {base.__module__}.{base.__qualname__}; derive "
            "the class from that one."
        )
    return made


def optimizer(settings: OptimizerSettings, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """RAdam or Adam over `parameters`."""
    rate, betas = settings.learning_rate, settings.betas
    if settings.kind == "adam":
        return torch.optim.Adam(parameters, lr=rate, betas=betas, fused=True)
    return torch.optim.RAdam(parameters, lr=rate, betas=betas, foreach=True)


def ema(settings: AverageSettings, module: Model) -> EMA[Model] | TrackedAverages[Model]:
    """The average that is sampled from, with others where any width may be asked for later."""
    if isinstance(settings, PostHocSettings):
        return TrackedAverages(module, settings.widths)
    decay = settings.decay if settings.kind == "constant" else None
    return EMA(module, decay, settings.width, settings.warm_up)


def prepare(module: Model, train: TrainSettings, device: torch.device) -> None:
    """Have the network and the encoder computed as `train` says; see `precision`."""
    encoders = [part.encoder for part in module.coupling.modules() if hasattr(part, "encoder")]
    for part in (module.network, *encoders):
        if isinstance(part, nn.Module):
            precision.prepare(part, train.precision, train.compile, device)


def device(runtime: RuntimeSettings) -> torch.device:
    """`auto` is the GPU if there is one; of several processes each takes its own.

    Raises:
        UserError: if a GPU is asked for that is not there.
    """
    name, count = runtime.device, torch.cuda.device_count()
    if name == "cpu" or (name == "auto" and not count and not runtime.gpus):
        return torch.device("cpu")
    index = int(name.partition(":")[2] or local_rank())
    wanted = max(index + 1, runtime.gpus)
    if wanted > count:
        raise UserError(
            f"runtime: {wanted} GPUs are asked for (gpus: {runtime.gpus}, device: {name}), but "
            f"this machine shows {count}; lower gpus and processes, or use device: cpu."
        )
    precision.set_float32("float32")
    return torch.device("cuda", index)
