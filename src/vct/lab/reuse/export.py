"""A trained model as a folder to pass on, in the layout that the Hugging Face Hub knows."""

import shutil
from pathlib import Path

import numpy as np

from vct.lab import records
from vct.lab.errors import UserError
from vct.lab.files.folders import whole_folder
from vct.lab.files.layout import PRIOR_FILE
from vct.lab.files.tensors import save_tensors
from vct.lab.files.whole import hashes, write_text
from vct.lab.records import ExportRecord, WeightsRecord
from vct.lab.report import names
from vct.lab.report.preview import preview
from vct.lab.reuse import card
from vct.lab.reuse.description import CONFIG, WEIGHTS, Description
from vct.lab.reuse.model import LoadedModel
from vct.lab.runs import samples
from vct.lab.sampling.drawing import to_uint8

PICTURE = "preview.png"
FILES = {CONFIG, WEIGHTS, PRIOR_FILE, PICTURE, card.FILE}
SHOWN = 64
"""Samples in the picture of the card."""


def write(source: str | Path, folder: str | Path, license: str | None = None) -> None:
    """Export the model in `source`, a run's folder or another export, to `folder`.

    The folder is there whole or not at all; an earlier export in it is replaced.

    Args:
        license: of the weights, as the Hub spells it (`cc-by-4.0`).

    Raises:
        UserError: if there is no whole model, if the folder holds something else, or if the weights
            go back to published ones with a licence of their own.
    """
    model, target = LoadedModel.of(source), Path(folder)
    if target.resolve() == model.description.folder.resolve():
        raise UserError(f"{target} is the folder of the model itself; name another one.")
    with whole_folder(target, _is_export) as new:
        fill(model, new, license)


def fill(model: LoadedModel, folder: Path, license: str | None = None) -> None:
    """Write the files of an export into a folder that is there; see `write`."""
    found, known = model.description, _license(model.description, license)
    if found.is_export or found.sample.ema_width is None:
        _copy(found.folder / WEIGHTS, folder / WEIGHTS)
    else:
        run = found.record.run
        of = WeightsRecord(run=run.run, settings_sha256=run.settings_sha256)
        save_tensors(folder / WEIGHTS, found.tensors(model), {"vct": of.text()})
    kept = [WEIGHTS]
    if found.prior() is not None:
        _copy(found.folder / PRIOR_FILE, folder / PRIOR_FILE)
        kept.append(PRIOR_FILE)
    record = found.record.model_copy(update={"files": hashes(folder, kept)})
    records.write(record, folder / CONFIG)
    if found.is_export and model.restores:  # its samples stayed behind
        _copy(found.folder / PICTURE, folder / PICTURE)
    else:
        preview(folder / PICTURE, {_heading(model): _stored(model)})
    if found.is_export and license is None:  # it knows the spread over seeds
        _copy(found.folder / card.FILE, folder / card.FILE)
    else:
        write_text(folder / card.FILE, card.text(model, record, known))


def _copy(source: Path, target: Path) -> None:
    if not (target.exists() and target.samefile(source)):
        shutil.copyfile(source, target)


def _heading(model: LoadedModel) -> str:
    prior = model.priors[-1]
    return names.label(model.description.record.run.id.coupling, prior)


def _stored(model: LoadedModel) -> np.ndarray:
    """Samples of the fewest steps as a run stores them; of a model that restores, its own ones."""
    if model.restores:
        return _drawn(model)
    x = model.sample(SHOWN, prior=model.priors[-1])
    return (x if model.description.data().is_points else to_uint8(x)).cpu().numpy()


def _drawn(model: LoadedModel) -> np.ndarray:
    """The first samples that the run itself has drawn."""
    file = model.description.folder / "samples.npz"
    if not file.is_file():
        run = model.description.record.run.run
        raise UserError(f"{file} is missing, for the picture of the card; run: vct sample {run}")
    with np.load(file) as arrays:
        return next(iter(samples.scored(arrays).values()))[:SHOWN]


def _is_export(folder: Path) -> bool:
    if not {path.name for path in folder.iterdir()} <= FILES:
        return False
    try:
        records.read(ExportRecord, folder / CONFIG)
    except UserError:
        return False
    return True


def _license(found: Description, license: str | None) -> str | None:
    inherited = found.record.run.initial_weights_license
    if inherited and license and license.lower() != inherited.lower():
        raise UserError(
            f"--license {license}: these weights go back to published ones under {inherited}, "
            "which holds for them too; leave the option out."
        )
    return inherited or license
