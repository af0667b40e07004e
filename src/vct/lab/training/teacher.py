"""The run of ours that makes the pairs of another one, as `reflow` takes them."""

from vct.lab import records
from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.files.whole import file_sha256
from vct.lab.records import RunRecord


def sha256(teacher: RunId | None) -> str | None:
    """Hash of its weights, for the record of the run that it teaches; None without one.

    Raises:
        UserError: if they are missing.
    """
    if teacher is None:
        return None
    weights = teacher.directory / "model.safetensors"
    if not weights.is_file():
        raise UserError(
            f"{weights} is missing, whose flow makes the pairs; train that run first: vct train "
            f"{teacher}"
        )
    return file_sha256(weights)


def license_of(teacher: RunId | None) -> str | None:
    """Licence of the published weights that it goes back to, if any."""
    if teacher is None:
        return None
    return records.read(RunRecord, teacher.directory / "config.json").initial_weights_license
