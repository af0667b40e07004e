"""The final weights of a run on disk, and back."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from vct.averages.post_hoc import Profile, combine
from vct.lab import build
from vct.lab.data.dataset import Dataset
from vct.lab.errors import UserError, quoted
from vct.lab.files.layout import AVERAGES_FILE, RunId
from vct.lab.files.tensors import save_tensors
from vct.lab.model import Model
from vct.lab.settings.run import RunSettings


def save(path: Path, model: Model, record: dict[str, Any]) -> None:
    """Write averaged network and coupling, with the run's record as metadata."""
    # One key alone: the order of several in the header changes from process to process.
    metadata = {"vct": json.dumps({key: record[key] for key in ("run", "settings_sha256")})}
    tensors = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}
    save_tensors(path, tensors, metadata)


def read(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file.

    Raises:
        UserError: if the file is missing or damaged, or a weight is not finite.
    """
    with _opened(path) as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        wild = [key for key, tensor in tensors.items() if not bool(tensor.isfinite().all())]
        if wild:
            raise ValueError(f"{wild[0]} is not finite")
    return tensors


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, "pt") as file:
            yield file
    except (UserError, MemoryError):
        raise
    except Exception as error:  # besides its own, kinds of numbers that torch does not compute with
        raise UserError(
            f"{path} is missing or damaged ({error}); train the run again: vct train "
            f"{'/'.join(path.parts[1:-1])}"
        ) from None


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


LARGEST_ERROR = 0.05
"""Of a rebuilt average's profile; beyond, it would be another average than the one asked for."""


def rebuilt(path: Path, width: float) -> dict[str, torch.Tensor]:
    """Tensors of the power-function average of `width` at the end of the training.

    Summed in double precision, tensor by tensor. Tensors without fractions are the last ones.

    Raises:
        UserError: if the file is missing or damaged, or the averages in it cannot give that width.
    """
    with _opened(path) as file:
        names: dict[tuple[int, str], list[str]] = {}
        for key in file.keys():  # noqa: SIM118
            step, kept_width, name = key.split("/", 2)
            names.setdefault((int(step), kept_width), []).append(name)
        kept = sorted(names)
        profiles = [Profile(float(kept_width), step) for step, kept_width in kept]
        found = combine(profiles, Profile(width, kept[-1][0]))
        if found.error > LARGEST_ERROR:
            raise UserError(
                f"sample.ema_width: {width} cannot be rebuilt from the averages in {path} (its "
                f"profile would be off by {found.error:.0%}); choose a width between or near "
                "train.ema.widths, or train with more of them, or with a larger train.ema.kept."
            )
        tensors = {}
        for name in names[kept[-1]]:
            parts = [file.get_tensor(f"{step}/{one}/{name}") for step, one in kept]
            total = parts[-1]
            if total.is_floating_point():
                terms = zip(found.coefficients.tolist(), parts, strict=True)
                total = sum(factor * part.double() for factor, part in terms).to(total.dtype)
            tensors[name] = total
        return tensors


def load(
    run: RunId,
    settings: RunSettings,
    data: Dataset,
    device: torch.device,
    ema_width: float | None = None,
) -> Model:
    """The trained model, for sampling; with `ema_width`, the average of that width, rebuilt."""
    path = run.directory / ("model.safetensors" if ema_width is None else AVERAGES_FILE)
    model = build.model(settings, data, run.seed)
    fill(model, read(path) if ema_width is None else rebuilt(path, ema_width), path)
    return model.to(device).eval().requires_grad_(False)
