"""`prepared.safetensors` of a run: what its coupling makes before training, such as potentials.

It is empty where the coupling prepares nothing, and then no training reads it. Only a trial, for
which no engine runs a stage, makes it itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from vct.couplings import preparation
from vct.couplings.base import Call, Coupling, PreparingContext
from vct.couplings.semidiscrete import Semidiscrete
from vct.lab import build, versions
from vct.lab.data.dataset import Dataset
from vct.lab.errors import UserError
from vct.lab.files.layout import PREPARED_FILE, RunId
from vct.lab.files.tensors import load_sealed, save_sealed
from vct.lab.files.whole import file_sha256
from vct.lab.processes import precision
from vct.lab.processes.group import Group, current_group
from vct.lab.processes.progress import Progress
from vct.lab.processes.streams import say
from vct.lab.records import PreparedRecord, RunRecord
from vct.lab.settings import registry
from vct.lab.settings.couplings import CouplingSettings
from vct.lab.settings.own_code import own_code
from vct.lab.settings.run import RunSettings, settings_sha256
from vct.lab.settings.runtime import RuntimeSettings
from vct.lab.training import teacher
from vct.lab.training.step import divided

TAKEN = {
    "classes": {"conditional"},
    "points": {"conditional", "flip"},
    "sigma_data": {"sigma_data"},
    "t_max": {"t_max"},
}
"""Keys of `train` that decide what is offered to a coupling, by the argument that takes it."""
EVEN = 0.1
"""Deviation of the masses of cells from which on it is said how to lower it."""
WORDS = {
    "data_sha256": "data",
    "settings_sha256": "settings",
    "seed": "seed",
    "teacher_sha256": "weights of its teacher",
    "own_code": "code of your classes",
    "version": "version of the program",
}


@dataclass(frozen=True)
class Prepared:
    """What a run's coupling prepared.

    Args:
        tensors: by place and name.
        record: what they are of.
        sha256: of their file.
    """

    tensors: dict[str, Tensor]
    record: PreparedRecord
    sha256: str


def write(run: RunId, settings: RunSettings, data: Dataset, runtime: RuntimeSettings) -> bool:
    """Write what a run's coupling prepares; return whether it does. All processes of a group share
    the work, and the main one writes.

    Raises:
        UserError: if its teacher is missing, or what it prepares is not finite.
    """
    # The teacher's hash before its weights are read: a training may end meanwhile.
    record, group = _record(run, settings, data), current_group()
    prepares = bool(settings.coupling.prepared_parts())
    tensors: dict[str, Tensor] = {}
    coupling: Coupling | None = None
    if prepares:
        coupling, tensors = _made(run, settings, data, runtime, group)
    elif any(part.is_own for part in settings.coupling.parts()):
        build.model(settings, data, run.seed)  # which refuses one that does, and does not say so
    if group.main:
        save_sealed(run.directory / PREPARED_FILE, "prepared", record.content(), tensors)
        if coupling is not None:
            _say_how_even(run, coupling, build.device(runtime))
    group.wait()
    return prepares


def _made(
    run: RunId, settings: RunSettings, data: Dataset, runtime: RuntimeSettings, group: Group
) -> tuple[Coupling, dict[str, Tensor]]:
    torch.set_num_threads(runtime.threads)
    device = build.device(runtime)
    precision.set_float32(settings.train.precision)
    coupling = build.model(settings, data, run.seed).coupling.to(device)
    teacher.teach(coupling, settings.coupling, run.seed, data)

    def shared(call: Call, eps: Tensor, labels: Tensor | None) -> Tensor:
        with Progress(-(-len(eps) // group.size), "samples") as progress:

            def told(some: Tensor, shown: Tensor | None) -> Tensor:
                made = call(some, shown)
                progress.to(progress.done + len(some))
                return made

            batch, micro_batch = settings.train.batch_size, runtime.micro_batch
            return divided(group, batch, micro_batch, told, eps, labels)

    context = PreparingContext(torch.empty(0, *data.shape, device=device), shared)
    found = preparation.prepare(coupling, context)
    for name, tensor in found.items():
        if not tensor.isfinite().all():
            raise UserError(
                f"{name}, which the coupling of {run} prepared, is not finite, so that nothing can "
                "be trained with it; change its settings, or train its teacher again if it has one."
            )
    # Each of its own: safetensors refuses parts of one tensor.
    return coupling, {name: tensor.detach().cpu().clone() for name, tensor in found.items()}


def _say_how_even(run: RunId, coupling: Coupling, device: torch.device) -> None:
    for part in coupling.modules():
        if isinstance(part, Semidiscrete):
            uneven = part.unevenness(device)
            more = "; more `iterations` make them more even" if uneven > EVEN else ""
            say(f"{run}: the masses of the cells deviate by {uneven:.0%}{more}.")


def of_training(
    run: RunId, settings: RunSettings, data: Dataset, runtime: RuntimeSettings
) -> Prepared | None:
    """What a training goes by; None where its coupling prepares nothing. See `read`.

    A trial takes what the run itself goes by, and makes its own where that is missing or of other
    settings.
    """
    if not settings.coupling.prepared_parts():
        return None
    group = current_group()
    if run.is_trial:
        itself = replace(run, root=RunId.root)
        if group.any(group.main and _fits(itself, settings, data)):
            return read(itself, settings, data)
        if group.any(group.main and not _fits(run, settings, data)):
            write(run, settings, data, runtime)
    return read(run, settings, data)


def _fits(run: RunId, settings: RunSettings, data: Dataset) -> bool:
    try:
        read(run, settings, data)
    except UserError:
        return False
    return True


def read(run: RunId, settings: RunSettings, data: Dataset) -> Prepared | None:
    """What `write` wrote; None where the coupling prepares nothing.

    Raises:
        UserError: if the file is missing or damaged, or of other data, settings, teacher or code.
    """
    if not settings.coupling.prepared_parts():
        return None
    path, command = run.directory / PREPARED_FILE, f"vct prepare {run}"
    facts, tensors = load_sealed(path, "prepared", command)
    of = settings.coupling.teacher_run(run.seed)
    # No engine brings the teacher's files for a training: this file is there in their place.
    gone = of is not None and not (of.directory / "model.safetensors").is_file()
    now = _record(run, settings, data, facts if gone else None).content()
    other = [word for key, word in WORDS.items() if facts.get(key) != now.get(key)]
    if other:
        raise UserError(f"{path} is of other {', '.join(other)}; make it again: {command}")
    return Prepared(tensors, PreparedRecord.model_validate(facts), file_sha256(path))


def checked(run: RunId, settings: RunSettings, data: Dataset, record: RunRecord) -> Prepared | None:
    """What a run was trained with; see `read`.

    Raises:
        UserError: if another file is there now.
    """
    found = read(run, settings, data)
    if found is None:
        return None
    # Runs of before this stage was there have no hash of its file.
    same = record.prepared_sha256 in (None, found.sha256)
    if not same or record.teacher_sha256 != found.record.teacher_sha256:
        raise UserError(
            f"{run} was trained with another {run.directory / PREPARED_FILE} than the one that is "
            f"there; restore it, or train again: vct train {run} --fresh"
        )
    return found


def _record(
    run: RunId, settings: RunSettings, data: Dataset, known: Mapping[str, Any] | None = None
) -> PreparedRecord:
    """All that decides what is prepared.

    Args:
        known: says of which teacher it is, in place of the teacher's files.
    """
    parts = settings.coupling.prepared_parts()
    taken = {argument for part in parts for argument in _taken(part)}
    if known is None:
        of = settings.coupling.teacher_run(run.seed)
        known = {"teacher_sha256": teacher.sha256(of), "license": teacher.license_of(of)}
    return PreparedRecord(
        data_sha256=data.sha256,
        settings_sha256=settings_sha256(_settings(settings, parts, taken)),
        seed=run.seed if "noise_seed" in taken else None,
        teacher_sha256=known.get("teacher_sha256"),
        license=known.get("license"),
        own_code=own_code(dict(enumerate(parts))).get("own_code"),
        version=versions.PREPARATION,
    )


def _taken(part: CouplingSettings) -> set[str]:
    """Which of what is offered a coupling may take."""
    target = registry.find(part.builds, part.family)
    names = build.accepted(target) if callable(target) else set()  # which building refuses
    return {*TAKEN, "noise_seed"} if names is None else names


def _settings(
    settings: RunSettings, parts: list[CouplingSettings], taken: set[str]
) -> dict[str, Any]:
    """The settings that decide what is prepared."""
    if not parts:
        return {}
    keys = {"precision"}.union(*(TAKEN.get(argument, ()) for argument in taken))
    return {
        "train": settings.train.model_dump(mode="json", include=keys),
        "couplings": [part.model_dump(mode="json", exclude={"clip_grad_norm"}) for part in parts],
    }
