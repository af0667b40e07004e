"""`vct extractor NAME`: train the small classifier whose features serve a Fréchet distance."""

import torch

from vct import registry
from vct.config import PARAMS, Params
from vct.data import dataset
from vct.errors import UserError
from vct.files import write_json
from vct.layout import extractor_dir
from vct.metrics.classifier import save_classifier, train_classifier


def run(params: Params, name: str) -> None:
    """Write `results/extractors/<name>/`."""
    if name not in params.extractors:
        raise UserError(f"{PARAMS}: {registry.unknown('extractor', name, params.extractors)}")
    settings = params.extractors[name]
    torch.set_num_threads(params.runtime.threads)
    data = dataset.load(settings.dataset)
    options = settings.model_dump(exclude={"kind", "dataset"})
    model, accuracy = train_classifier(
        data.train.x, data.train.labels, data.test.x, data.test.labels, **options
    )
    folder = extractor_dir(name)
    save_classifier(folder / "weights.safetensors", model)
    write_json(
        folder / "metrics.json",
        {
            "accuracy": accuracy,
            "train_images": len(data.train.x),
            "test_images": len(data.test.x),
        },
    )
    print(f"{name}: accuracy {accuracy:.4f} on {len(data.test.x)} held-out images")
