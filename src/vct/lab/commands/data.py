"""`vct data NAME`: make a data set in the common format, or look at it."""

from vct.lab import build, records
from vct.lab.data import dataset
from vct.lab.files.layout import SCRATCH, dataset_dir, dataset_state
from vct.lab.files.locks import lock
from vct.lab.records import DatasetRecord
from vct.lab.settings.data import DatasetSettings
from vct.lab.settings.own_code import own_code
from vct.lab.settings.params import Params


def data(params: Params, name: str, preview: bool = False) -> None:
    """Write `data/<name>/`; for a preview only if it is not there as params.yaml describes it."""
    settings = params.dataset(name)
    if not (preview and _is_made(name, settings)):
        with lock(dataset_state(name)):
            code = own_code(settings).get("own_code")
            source = build.instantiate(settings)
            meta = dataset.write(name, source, settings.model_dump(mode="json"), code=code)
        if not preview:
            print(f"{name}: {meta.train} for training, {meta.test} held out")
    if preview:
        _show(name)


def _is_made(name: str, settings: DatasetSettings) -> bool:
    path = dataset_dir(name) / "meta.json"
    return path.exists() and not dataset.otherwise(records.read(DatasetRecord, path), settings)


def _show(name: str) -> None:
    from vct.lab.report import data_preview

    made, path = dataset.load(name), SCRATCH / "previews" / f"{name}.png"
    data_preview.picture(path, made)
    print("\n".join(data_preview.lines(made)))
    print(f"picture: {path}")
