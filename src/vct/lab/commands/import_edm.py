"""`vct import-edm FILE`: a published EDM or EDM2 checkpoint as safetensors and JSON."""

from pathlib import Path

from vct.lab.errors import UserError
from vct.lab.files.layout import pretrained_files
from vct.lab.files.tensors import write_tensors
from vct.lab.files.whole import atomic, file_sha256
from vct.lab.pretrained import architecture, unpickler
from vct.lab.pretrained.architecture import Found
from vct.lab.records import PretrainedRecord, write


def import_edm(name: str) -> None:
    """Write `pretrained/<stem>.safetensors` and `.json` from the file `name`.

    Raises:
        UserError: if the file is refused; then nothing is written.
    """
    source = Path(name)
    if not source.exists():
        raise UserError(
            f"{source} is missing: download the checkpoint that NVIDIA published as {source.name} "
            "(for EDM or EDM2) and put it there, or train a diffusion network first: let "
            "train.initial_weights in params.yaml name the weights of such a run, for CIFAR-10 "
            "results/cifar10-edm/independent/seed0/model.safetensors."
        )
    found = architecture.find(unpickler.read(source), source)
    record = _record(source, found)
    weights, description = pretrained_files(source.stem)
    with atomic(weights) as weights_file, atomic(description) as description_file:
        write_tensors(weights_file, found.tensors, {"vct": record.text(sort_keys=True)})
        write(record, description_file)
    print(
        f"{weights}: {found.network['kind']}, {found.parameters:,} parameters, "
        f"images {' x '.join(map(str, found.shape))}, {found.classes} classes\n"
        f"licence: {record.license}, as NVIDIA published EDM's and EDM2's weights: attribution, "
        "not for commercial use; what is trained from them has it too"
    )


def _record(source: Path, found: Found) -> PretrainedRecord:
    dtypes = {str(tensor.dtype).removeprefix("torch.") for tensor in found.tensors.values()}
    return PretrainedRecord(
        source=source.name,
        sha256=file_sha256(source),
        network=found.network,
        shape=list(found.shape),
        classes=found.classes,
        sigma_data=found.sigma_data,
        parameters=found.parameters,
        dtypes=sorted(dtypes),
        left_out=found.left_out,
    )
