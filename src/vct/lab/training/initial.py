"""Initial weights from a diffusion network, imported or of a run of ours, as ECM takes them
(arXiv 2406.14548)."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vct.lab import records
from vct.lab.errors import UserError
from vct.lab.files.differences import mismatches
from vct.lab.files.layout import RunId, pretrained_name
from vct.lab.files.whole import file_sha256
from vct.lab.records import PretrainedRecord, RunRecord
from vct.lab.settings.train import TrainSettings
from vct.networks.spans import SPANS


def sha256(train: TrainSettings) -> str | None:
    """Hash of the file of initial weights, for the run's record; None without one.

    Raises:
        UserError: if the file is missing.
    """
    return None if train.initial_weights is None else file_sha256(_existing(train.initial_weights))


def license_of(train: TrainSettings) -> str | None:
    """Licence of the published weights that `train` starts from, directly or through runs of ours;
    None without, and where no file beside them says so."""
    path = Path(train.initial_weights or "")
    beside = path.with_name(_description(path)) if path.name else path
    if not beside.is_file():
        return None
    if RunId.of_weights(str(path)) is not None:
        return records.read(RunRecord, beside).initial_weights_license
    imported = pretrained_name(str(path)) is not None
    return records.read(PretrainedRecord, beside).license if imported else None


def load(train: TrainSettings, network: nn.Module) -> None:
    """Give `network` the initial weights that `train` names, if any.

    Raises:
        UserError: if their file is missing, damaged, or of another architecture.
    """
    if train.initial_weights is None:
        return
    path = _existing(train.initial_weights)
    try:
        tensors = _of_network(load_file(path))
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"train.initial_weights: {path} is damaged ({error}); {_remedy(path)}"
        ) from None
    state = network.state_dict()
    # A network of one time starts one of two, whose second time adds nothing yet.
    tensors = {**{name: state[name] for name in state if name in SPANS}, **tensors}
    differing = mismatches(tensors, state)
    if differing:
        raise UserError(
            f"train.initial_weights: {path} is of another architecture than train.network: "
            f"{differing}; take the network from {_description(path)} beside it."
        )
    network.load_state_dict(tensors)


def _of_network(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The network's tensors: all of an imported file, `network.*` of a run's weights."""
    prefix = "network."
    if not any(name.startswith(prefix) for name in tensors):
        return tensors
    named = {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    return {name.removeprefix(prefix): tensor for name, tensor in named.items()}


def _existing(name: str) -> Path:
    path = Path(name)
    if not path.is_file():
        raise UserError(f"train.initial_weights: {path} is missing; {_remedy(path)}")
    return path


def _remedy(path: Path) -> str:
    """How to get such a file."""
    run = RunId.of_weights(str(path))
    if run is not None:
        return f"train that run: vct train {run}"
    return f"get the published checkpoint {path.stem}.pkl and run: vct import-edm {path.stem}.pkl"


def _description(path: Path) -> str:
    """Name of the file that says which network the weights are of."""
    run = RunId.of_weights(str(path))
    return path.with_suffix(".json").name if run is None else "config.json"
