"""Rolling checkpoints: complete, atomic, checked.

A checkpoint is a line with the SHA-256 of all that follows, a `CheckpointHeader` on a line, and
then the payload of `torch.save`. The two newest are kept; a damaged one is passed over with a
warning.
"""

import hashlib
import io
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import torch
from pydantic import ValidationError

from vct.lab.errors import UserError
from vct.lab.files.differences import differences
from vct.lab.files.whole import atomic
from vct.lab.processes.streams import say
from vct.lab.records import CheckpointHeader, RunRecord

FORMAT: Literal[3] = 3
KEEP = 2


@dataclass(frozen=True)
class Identity:
    """What a checkpoint belongs to: a training resumes only from its own.

    Args:
        settings: all settings of the run, as JSON would hold them.
        data_sha256: content hash of the data.
        training_version: `vct.lab.versions.TRAINING`.
        seed: of the run; no setting, so that runs of other seeds have the same ones.
    """

    settings: dict[str, Any]
    data_sha256: str
    training_version: int
    seed: int = 0

    @classmethod
    def of(cls, record: RunRecord) -> "Identity":
        """That of the training which `record` describes."""
        files = {"initial_weights_sha256", "teacher_sha256", "prepared_sha256", "own_code"}
        used = record.model_dump(include=files, exclude_none=True)
        code = record.code.training
        return cls(record.settings | used, record.data_sha256, code, record.id.seed)


def path_of(folder: Path, step: int) -> Path:
    """The file of the checkpoint after `step` steps."""
    return folder / f"checkpoint-{step:09d}.ckpt"


def save(folder: Path, step: int, identity: Identity, state: dict[str, Any]) -> None:
    """Write the state after `step` steps and drop all but the newest checkpoints."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getbuffer()
    header = CheckpointHeader(format=FORMAT, step=step, **asdict(identity))
    line = header.text().encode() + b"\n"
    digest = hashlib.sha256(line)
    digest.update(payload)
    with atomic(path_of(folder, step)) as temporary, temporary.open("wb") as stream:
        stream.write(digest.hexdigest().encode() + b"\n" + line)
        stream.write(payload)
    _keep_newest(folder, step)


def _keep_newest(folder: Path, step: int) -> None:
    """Drop all but the newest checkpoints up to `step`; later ones were found damaged.

    Those are moved aside: in place, they would be taken for the newest, and good ones dropped.
    """
    files = _files(folder)
    good = [file for file in files if file <= path_of(folder, step)]
    for old in good[:-KEEP]:
        old.unlink()
    for damaged in files[len(good) :]:
        damaged.replace(damaged.with_suffix(".damaged"))


def latest(folder: Path, identity: Identity, device: torch.device) -> tuple[int, dict] | None:
    """Step and state of the newest good checkpoint; None if there is no checkpoint at all.

    Raises:
        UserError: if it belongs to other settings, data or code, or if none is good.
    """
    files = _files(folder)
    for file in reversed(files):
        found = _read(file)
        if found is None:
            say(f"warning: {file} is damaged, or of another version, and is passed over.")
            continue
        header, payload = found
        _check_identity(file, header, identity)
        try:
            state = torch.load(io.BytesIO(payload), map_location=device, weights_only=True)
        except UnpicklingError:  # a class of the user's put code into its state, which is not run
            say(f"warning: {file} holds more than tensors and numbers and is passed over.")
            continue
        return header.step, state
    if files:
        raise UserError(
            f"no checkpoint in {folder} is whole and of format {FORMAT}; start this run again with "
            "--fresh, which moves the folder aside, or go on with the version that made them."
        )
    return None


def newest(folder: Path) -> Path | None:
    """The newest whole checkpoint."""
    return next((file for file in reversed(_files(folder)) if _read(file)), None)


def remove_all(folder: Path) -> None:
    """Drop the checkpoints of a finished training."""
    for file in [*_files(folder), *folder.glob("checkpoint-*.damaged")]:
        file.unlink()


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*.ckpt"))


def _read(file: Path) -> tuple[CheckpointHeader, bytes] | None:
    """Header and payload; None when the file is not what was written."""
    try:
        digest, _, content = file.read_bytes().partition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() != digest:
            return None
        line, _, payload = content.partition(b"\n")
        return CheckpointHeader.model_validate_json(line), payload
    except (OSError, ValidationError):
        return None


def _check_identity(file: Path, header: CheckpointHeader, identity: Identity) -> None:
    now = asdict(identity)
    then = header.model_dump(include=set(now))
    if then != now:
        differing = ", ".join(differences(then, now))
        raise UserError(
            f"{file} was made with other settings ({differing}); restore them to resume, or move "
            f"{file.parent} aside ('vct train RUN --fresh' does) and run the same command again."
        )
