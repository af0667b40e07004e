"""The final weights of a run on disk, and back."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from vct import build
from vct.config import RunSettings
from vct.data.dataset import Dataset
from vct.errors import UserError, quoted
from vct.files import atomic
from vct.layout import RunId
from vct.preconditioning import ConsistencyFunction


def save(path: Path, model: build.Model, record: dict[str, Any]) -> None:
    """Write averaged network and coupling, with the run's record as metadata."""
    # One key alone: the order of several in the header changes from process to process.
    metadata = {"vct": json.dumps({key: record[key] for key in ("run", "settings_sha256")})}
    tensors = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata)


def read(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file.

    Raises:
        UserError: if the file is missing or damaged, or a weight is not finite.
    """
    try:
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        wild = [key for key, tensor in tensors.items() if not bool(tensor.isfinite().all())]
        if wild:
            raise ValueError(f"{wild[0]} is not finite")
    except Exception as error:  # besides its own, kinds of numbers that torch does not compute with
        raise UserError(
            f"{path} is missing or damaged ({error}); train the run again: vct train "
            f"{'/'.join(path.parts[1:-1])}"
        ) from None
    return tensors


def read_snapshots(path: Path, steps: list[int]) -> dict[int, dict[str, torch.Tensor]]:
    """Weights of the averaged network after each of `steps`, from `snapshots.safetensors`.

    Raises:
        UserError: if the file is missing or damaged, or holds other steps.
    """
    by_step: dict[str, dict[str, torch.Tensor]] = {str(step): {} for step in steps}
    for key, tensor in read(path).items():
        step, _, name = key.partition("/")
        if step not in by_step:
            raise UserError(
                f"{path} holds {quoted(key)}, which is of no snapshot of this run; train the run "
                f"again: vct train {'/'.join(path.parts[1:-1])}"
            )
        by_step[step][name] = tensor
    return {int(step): tensors for step, tensors in by_step.items()}


def fill(module: nn.Module, tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Load `tensors` of the file `path`.

    Raises:
        UserError: if they are not those of this module.
    """
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        problem = str(error).split("\n")[1:2] or [str(error)]
        raise UserError(f"{path} is of another architecture: {problem[0].strip()}") from None


def function(settings: RunSettings, model: build.Model) -> ConsistencyFunction:
    """f of the sampler, with the boundary condition."""
    train = settings.train
    t_min = build.objective(train).t_min
    return ConsistencyFunction(model.network, build.kernel(train), train.sigma_data, t_min)


def load(run: RunId, settings: RunSettings, data: Dataset, device: torch.device) -> build.Model:
    """The trained model, for sampling."""
    path = run.directory / "model.safetensors"
    model = build.model(settings, data, run.seed)
    fill(model, read(path), path)
    return model.to(device).eval().requires_grad_(False)
