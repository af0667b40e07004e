"""Trained models outside of the workflow: loaded, sampled, exported, passed on."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vct.lab.reuse.model import LoadedModel


def load(folder: str | Path, device: str = "cpu") -> "LoadedModel":
    """A trained model, ready to sample.

    >>> model = vct.load("results/digits/variational/seed0")
    >>> x = model.sample(16, steps=2, seed=0)  # (16, 1, 8, 8) in [-1, 1]

    Args:
        folder: of a trained run, `results/EXPERIMENT/COUPLING/seedK`, or of an export.
        device: where it is put, such as cuda or cuda:1.

    Raises:
        UserError: if there is no model in the folder, or a damaged one, or no such device.
        ImportError: if only the library was installed.
    """
    if find_spec("pydantic") is None or find_spec("safetensors") is None:
        raise ImportError("vct.load needs pydantic and safetensors: pip install '.[load]'")
    from vct.lab.errors import UserError, quoted
    from vct.lab.processes import precision
    from vct.lab.reuse.model import LoadedModel

    model = LoadedModel.of(folder)
    try:
        model.to(device)
    except (RuntimeError, AssertionError) as error:  # torch's words for a device that is not there
        raise UserError(
            f"device {quoted(device)} cannot be used ({error}); name another."
        ) from None
    if device.startswith("cuda"):
        precision.set_float32("float32")  # as the run was sampled
    return model
