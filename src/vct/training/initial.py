"""Initial weights from an imported diffusion network, as ECM takes them (arXiv 2406.14548)."""

import hashlib
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from vct.config import Train
from vct.differences import mismatches
from vct.errors import UserError


def origin(train: Train) -> dict[str, str]:
    """Hash of the file of initial weights, for the run's record; empty without one.

    Raises:
        UserError: if the file is missing.
    """
    if train.initial_weights is None:
        return {}
    with _existing(train.initial_weights).open("rb") as file:
        return {"initial_weights_sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def load(train: Train, network: nn.Module) -> None:
    """Give `network` the initial weights that `train` names, if any.

    Raises:
        UserError: if their file is missing, damaged, or of another architecture.
    """
    if train.initial_weights is None:
        return
    path = _existing(train.initial_weights)
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"train.initial_weights: {path} is damaged ({error}); import it again: "
            f"vct import-edm {path.stem}.pkl"
        ) from None
    differing = mismatches(tensors, network.state_dict())
    if differing:
        raise UserError(
            f"train.initial_weights: {path} is of another architecture than train.network: "
            f"{differing}; take the network from {path.with_suffix('.json').name} beside it."
        )
    network.load_state_dict(tensors)


def _existing(name: str) -> Path:
    path = Path(name)
    if not path.is_file():
        raise UserError(
            f"train.initial_weights: {path} is missing; get the published checkpoint "
            f"{path.stem}.pkl and run: vct import-edm {path.stem}.pkl"
        )
    return path
