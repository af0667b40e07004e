"""`vct extractor NAME`: the weights of a feature extractor, trained here or published elsewhere."""

from contextlib import suppress

import torch

from vct.lab import build, records
from vct.lab.data import dataset
from vct.lab.errors import UserError
from vct.lab.files.layout import extractor_dir
from vct.lab.records import FactsRecord, Record
from vct.lab.runs import kept_extractors
from vct.lab.settings.params import Params


def extractor(params: Params, name: str) -> None:
    """Write `results/extractors/<name>/`."""
    settings = params.extractor(name)
    if settings.trained_on is not None and (found := kept_extractors.restore(params, name)):
        print(f"{name}: taken from {found}, so that scores are those of the kept runs' weights")
        return
    torch.set_num_threads(params.runtime.threads)
    weights = extractor_dir(name) / "weights.safetensors"
    source = settings.trained_on
    data = None if source is None else dataset.described(params, source)
    kind = build.instantiate(settings)
    weights.parent.mkdir(parents=True, exist_ok=True)
    try:
        made = kind.make(weights, data)
    finally:
        with suppress(OSError):  # it is not empty: there are weights
            weights.parent.rmdir()
    if not weights.is_file():
        raise UserError(f"the extractor '{settings.member}' wrote no {weights}; correct its make.")
    facts = made.content() if isinstance(made, Record) else made or {}
    records.write(FactsRecord(facts), weights.with_name("metrics.json"))
    print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in facts.items()))
