"""The final weights of a run on disk, and back."""

from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from vct.averages.ema import copied
from vct.averages.post_hoc import Profile, combine
from vct.lab import build
from vct.lab.data.dataset import Dataset
from vct.lab.errors import UserError
from vct.lab.files.layout import AVERAGES_FILE, RunId
from vct.lab.files.tensors import save_tensors
from vct.lab.model import Model
from vct.lab.records import RunRecord, WeightsRecord
from vct.lab.settings.run import RunSettings

LARGEST_ERROR = 0.05
"""Of a rebuilt average's profile; beyond, it would be another average than the one asked for."""


def save(path: Path, model: Model, record: RunRecord) -> None:
    """Write averaged network and coupling, with what they are of as metadata."""
    # One key alone: the order of several in the header changes from process to process.
    of = WeightsRecord(run=record.run, settings_sha256=record.settings_sha256)
    tensors = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}
    save_tensors(path, tensors, {"vct": of.text()})


def read(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    Raises:
        UserError: if the file is missing or damaged, or a weight is not finite.
    """
    with _opened(path) as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        for key, tensor in tensors.items():
            if not tensor.isfinite().all():
                raise ValueError(f"{key} is not finite")
    return tensors


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, "pt") as file:
            yield file
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(
            f"{path} is missing or damaged ({error}); train the run again: vct train "
            f"{'/'.join(path.parts[1:-1])}"
        ) from None


def read_snapshots(path: Path) -> dict[int, dict[str, Tensor]]:
    """Weights of the averaged network, by the step after which they were kept.

    Raises:
        UserError: if the file is missing or damaged.
    """
    by_step: dict[int, dict[str, Tensor]] = {}
    for key, tensor in read(path).items():
        step, _, name = key.partition("/")
        by_step.setdefault(int(step), {})[name] = tensor
    return by_step


def fill(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Load `tensors` of the file `path`.

    Raises:
        UserError: if they are not those of this module.
    """
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        problem = str(error).split("\n")[1:2] or [str(error)]
        raise UserError(f"{path} is of another architecture: {problem[0].strip()}") from None


def rebuilt(path: Path, width: float, last_ones: Container[str]) -> dict[str, Tensor]:
    """Tensors of the power-function average of `width` at the end of the training.

    Summed in double precision, tensor by tensor, but for `last_ones`, which are not averaged.

    Raises:
        UserError: if the file is missing or damaged, or the averages in it cannot give that width.
    """
    with _opened(path) as file:
        keys = [key.split("/", 2) for key in file.keys()]  # noqa: SIM118
        kept = sorted({(int(step), text) for step, text, _ in keys})
        last = kept[-1][0]
        found = combine([Profile(float(text), step) for step, text in kept], Profile(width, last))
        if found.error > LARGEST_ERROR:
            raise UserError(
                f"sample.ema_width: {width} cannot be rebuilt from the averages in {path} (its "
                f"profile would be off by {found.error:.0%}); choose a width between or near "
                "train.ema.widths, or train with more of them, or with a larger train.ema.kept."
            )
        tensors = {}
        for name in dict.fromkeys(name for _, _, name in keys):
            parts = [file.get_tensor(f"{step}/{text}/{name}") for step, text in kept]
            total = parts[-1]
            if name not in last_ones:
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
    fill(model, read(path) if ema_width is None else rebuilt(path, ema_width, copied(model)), path)
    return model.to(device).eval().requires_grad_(False)
