"""Objects from settings: everything that a training or a sampler is made of."""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any

from vct.lab.errors import UserError, quoted
from vct.lab.processes.progress import counted
from vct.lab.settings import own_failure, registry
from vct.lab.settings.base import FamilySettings
from vct.lab.settings.networks import Outputs
from vct.misfit import Misfit
from vct.samplers.base import parse_key
from vct.samplers.few_step import FewStep

if TYPE_CHECKING:  # scores of points ask for a sampler's times, and do without torch
    import torch
    from torch import nn

    from vct.averages.ema import Average
    from vct.couplings.base import Coupling
    from vct.kernels import Kernel
    from vct.lab.data.dataset import Dataset
    from vct.lab.model import Model
    from vct.lab.settings.averages import AverageSettings
    from vct.lab.settings.optimizer import OptimizerSettings
    from vct.lab.settings.run import RunSettings
    from vct.lab.settings.runtime import RuntimeSettings
    from vct.lab.settings.sample import SampleSettings
    from vct.lab.settings.train import TrainSettings
    from vct.objectives.base import Objective
    from vct.preconditioning import ConsistencyFunction
    from vct.samplers.base import Sampler
    from vct.samplers.few_step import Bounds


def instantiate(section: FamilySettings, **offered: Any) -> Any:
    """What a section of params.yaml builds.

    It is called with the section's fields (a user's class with its `options`), of which sections of
    a family are built first, and with those of `offered` that its signature takes.

    Raises:
        UserError: if it cannot be imported or does not fit, or if a user's class fails or is not
            what its family asks for.
    """
    if why := section.misfit(**offered):
        raise UserError(why)
    target = registry.find(section.builds, section.family)
    if not callable(target):
        raise UserError(f"the {section.family} '{section.member}' is no class; name one.")
    taken = accepted(target)
    given = {name: value for name, value in offered.items() if taken is None or name in taken}
    for name, value in section.arguments().items():
        nested = isinstance(value, FamilySettings)
        given[name] = instantiate(value, **_inside(section, name, offered)) if nested else value
    if section.is_own:
        return _own(section, target, given)
    try:
        return target(**given)
    except Misfit as error:
        raise UserError(f"the {section.family} '{section.member}': {error}.") from None


def _own(section: FamilySettings, target: Any, given: dict[str, Any]) -> Any:
    """What a user's class makes of `given`."""
    name = f"the {section.family} '{section.member}'"
    if missing := getattr(target, "__abstractmethods__", None):
        raise UserError(
            f"{name} does not define {', '.join(sorted(missing))}; add what is missing."
        )
    try:
        made = target(**given)
    except UserError:
        raise
    except Exception as error:  # the user's class may fail in any way
        where, why = own_failure.place(error, [section.builds]), own_failure.described(error)
        raise UserError(
            f"{name} fails ({where}: {why}); correct it, or its options in params.yaml."
            if where
            else f"{name} does not take these settings ({why}); correct its options in params.yaml."
        ) from error
    if section.interface and not isinstance(made, registry.find(section.interface)):
        base = section.interface.replace(":", ".")
        raise UserError(f"{name} is no {base}; derive the class from that one.")
    return made


def accepted(target: Any) -> set[str] | None:
    """Names of the arguments that a class or a function takes, with those that **kwargs of a class
    hands on to the classes above it; None for any, where **kwargs stay."""
    names, open_ended = set[str](), False
    for level in target.__mro__ if isinstance(target, type) else [target]:
        call = level.__dict__.get("__init__") if isinstance(level, type) else level
        # torch's and Python's own roots are declared to take anything, and take nothing.
        if call is None or getattr(call, "__module__", None) == "torch.nn.modules.module":
            continue
        if level is object:
            continue
        parameters = inspect.signature(call).parameters.values()
        names |= {each.name for each in parameters if each.kind is not each.VAR_KEYWORD}
        open_ended = any(each.kind is each.VAR_KEYWORD for each in parameters)
        if not open_ended:
            break
    return None if open_ended else names


def _inside(section: FamilySettings, name: str, offered: dict[str, Any]) -> dict[str, Any]:
    """What is offered to a section inside another one."""
    marks = type(section).model_fields[name].metadata
    factor = next((mark.factor for mark in marks if isinstance(mark, Outputs)), None)
    if factor is None:
        return offered
    return {**offered, "outputs": factor * offered["shape"][0]}


def model(settings: RunSettings, dataset: Dataset, seed: int) -> Model:
    """Network and coupling with initial weights that depend on `seed` alone.

    All couplings of an experiment start from the same network.
    """
    import torch

    from vct import rng
    from vct.lab.data.batches import everything
    from vct.lab.model import Model

    train = settings.train
    classes = _classes(train, dataset) if train.conditional else 0
    network_rng, coupling_rng = rng.key(seed, "init", "network"), rng.key(seed, "init", "coupling")
    shape = dataset.shape
    data = {"shape": shape, "classes": classes, "sigma_data": train.sigma_data}
    with torch.random.fork_rng():
        torch.manual_seed(network_rng)
        net = instantiate(train.network, outputs=shape[0], **data, **_times(train))
        torch.manual_seed(coupling_rng)
        coupling = instantiate(
            settings.coupling,
            t_max=train.t_max,
            points=lambda: everything(dataset, train.conditional, train.flip),
            count=dataset.meta.train,
            noise_seed=seed,
            watched=lambda steps: counted(steps, len(steps), "steps to the plan"),
            **data,
        )
    for made, section in ((net, train.network), (coupling, settings.coupling)):
        if "_modules" not in vars(made):
            raise UserError(
                f"the {section.family} '{section.member}' does not call super().__init__(); let it "
                "do so first."
            )
    learns = next(coupling.parameters(), None) is not None
    if learns and coupling.scope != "sample" and not coupling.learns_apart:
        raise UserError(
            f"the coupling '{settings.coupling.member}' learns parameters, so that each part of a "
            'divided batch is paired alone; its scope must be "sample".'
        )
    _check_preparing(settings, coupling)
    if coupling.from_data and not (kernel(train).bounded and train.t_max == 1):
        raise UserError(
            f"the coupling '{settings.coupling.member}' starts from images to restore, where only "
            "a bounded kernel with t_max 1 leads, such as li; set both."
        )
    return Model(net, coupling)


def _check_preparing(settings: RunSettings, coupling: Coupling) -> None:
    """Refuse a user's coupling of which params.yaml and its class do not say the same."""
    from vct.couplings.preparation import prepares

    *_, own = settings.coupling.parts()  # a user's class is built over none
    does, says = prepares(coupling), bool(settings.coupling.prepared_parts())
    if does and not says:
        raise UserError(
            f"the coupling '{own.member}' prepares something before training, for which both "
            "engines have a stage; say so in params.yaml by prepares: true beside its kind."
        )
    if says and not does:
        raise UserError(
            f"the coupling '{own.member}' has prepares: true in params.yaml, and does not define "
            "prepare; define it, or remove that setting."
        )


def _times(train: TrainSettings) -> dict[str, bool]:
    """What a network is told where the objective asks it at two times."""
    if not objective(train).two_times:
        return {}
    network = train.network
    taken = accepted(registry.find(network.builds, network.family))
    if taken is not None and "two_times" not in taken:
        raise UserError(
            f"the network '{network.member}' takes one time, and objective "
            f"{train.objective.member} asks it at two; let its constructor take two_times, and "
            "forward a fourth argument c_span, or choose another objective."
        )
    return {"two_times": True}


def _classes(train: TrainSettings, dataset: Dataset) -> int:
    """Number of classes that a conditional network distinguishes."""
    classes = dataset.meta.classes
    if not classes:
        raise UserError(
            f"train.conditional: data set '{train.dataset}' has no labels; give it class labels, "
            "or set conditional to false."
        )
    if missing := dataset.untrained:
        raise UserError(
            f"train.conditional: {missing} in data set '{train.dataset}', and would be sampled all "
            "the same; number labels from 0 on without gaps, raise its limit if it has one, or set "
            "conditional to false."
        )
    return classes


def kernel(train: TrainSettings) -> Kernel:
    """The transition kernel."""
    made: Kernel = instantiate(train.kernel, t_max=train.t_max)
    if train.kernel.is_own:
        _check_kernel(made, train.t_max)
    return made


def _check_kernel(made: Kernel, t_max: float) -> None:
    """Refuse a user's kernel whose scales are no tensors, or without the boundary condition."""
    import torch

    from vct.misfit import check

    name, low = type(made).__name__, t_max / 1000
    t = torch.linspace(low, t_max, 3)
    check(f"{name}.data_scale", made.data_scale(t), t.shape)
    scale = made.boundary_scale(t, low)
    check(f"{name}.boundary_scale", scale, t.shape)
    if abs(float(scale[0]) - 1) > 1e-4:
        raise Misfit(
            f"{name}.boundary_scale is {float(scale[0]):g} at t = t_min, where it must be 1"
        )


def objective(train: TrainSettings) -> Objective:
    """The objective."""
    facts = {"t_max": train.t_max, "sigma_data": train.sigma_data, "clip": kernel(train).bounded}
    return instantiate(train.objective, **facts)


def consistency_function(train: TrainSettings, network: nn.Module) -> ConsistencyFunction:
    """f of the sampler, with the boundary condition."""
    from vct.preconditioning import ConsistencyFunction

    return ConsistencyFunction(network, kernel(train), train.sigma_data, objective(train).t_min)


def sampler(sample: SampleSettings, t_max: float, bounds: Bounds | None = None) -> Sampler:
    """The sampler: few steps, unless another is asked for.

    Args:
        bounds: ends of the range of the data, where there are data to draw.
    """
    times = [t_max, *sample.mid_times]
    if sample.sampler is None:
        return FewStep(times, bounds)
    made: Sampler = instantiate(sample.sampler, times=times, t_max=t_max, bounds=bounds)
    keys = list(getattr(made, "schedules", ()))
    if not keys or not all(map(parse_key, keys)):
        raise UserError(
            f"the sampler '{sample.sampler.member}' must have schedules, a list of times by a word "
            f"and a number of steps such as 'steps2', not {quoted(keys)}; correct it."
        )
    if not isinstance(made.noises, int) or made.noises < 1:
        raise UserError(
            f"the sampler '{sample.sampler.member}' must have noises, a number of at least 1, not "
            f"{quoted(made.noises)}; correct it."
        )
    return made


def check_sampling(
    train: TrainSettings, sample: SampleSettings, shape: tuple[int, int, int]
) -> None:
    """Refuse Sobol points for data of a `shape` that they do not reach, times of sampling at which
    a user's objective says that nothing is learnt, and samplers that do not fit; what is built in
    is checked where params.yaml is read."""
    from vct import rng

    size = math.prod(shape)
    if sample.noise == "sobol" and size > rng.SOBOL_SIZE:
        raise UserError(
            f"sample.noise: sobol has up to {rng.SOBOL_SIZE} numbers a sample, and data set "
            f"'{train.dataset}' {size}; choose gaussian."
        )
    if not (train.objective.is_own or (sample.sampler and sample.sampler.is_own)):
        return
    least = objective(train).t_min
    for key, times in sampler(sample, train.t_max).schedules.items():
        if low := [each for each in (*times, sample.late_start or train.t_max) if each <= least]:
            raise UserError(
                f"{key} of the sampler asks the model at {low[0]:g}, and objective "
                f"{train.objective.member} trains it above t_min ({least:g}) alone; correct one of "
                "both."
            )


def optimizer(settings: OptimizerSettings, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser of `parameters`."""
    return instantiate(settings, params=parameters, lr=settings.learning_rate)


def average(settings: AverageSettings, module: Model) -> Average[Model]:
    """The average that is sampled from, with others where any width may be asked for later."""
    made: Average[Model] = instantiate(settings, trained=module)
    if not isinstance(getattr(made, "module", None), type(module)):
        raise UserError(
            f"the average '{settings.member}' must have the averaged copy of what it is given as "
            "its attribute module; add it."
        )
    return made


def prepare(module: Model, train: TrainSettings, device: torch.device) -> None:
    """Have the network and the encoder computed as `train` says; see `precision.prepare`."""
    from torch import nn

    from vct.lab.processes import precision

    encoders = [part.encoder for part in module.coupling.modules() if hasattr(part, "encoder")]
    for part in (module.network, *encoders):
        if isinstance(part, nn.Module):
            precision.prepare(part, train.precision, train.compile, device)


def device(runtime: RuntimeSettings) -> torch.device:
    """`auto` is the GPU if there is one; of several processes each takes its own.

    Raises:
        UserError: if a GPU is asked for that is not there.
    """
    import torch

    from vct.lab.processes import precision
    from vct.lab.processes.group import local_rank

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
