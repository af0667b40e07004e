"""`vct extractor NAME`: the weights of a feature extractor, trained here or published elsewhere."""

from pathlib import Path
from typing import Any

import torch

from vct.lab.data import dataset
from vct.lab.files.layout import extractor_dir
from vct.lab.files.whole import write_json
from vct.lab.metrics.extractors.base import find_published
from vct.lab.metrics.extractors.classifier import save_classifier, train_classifier
from vct.lab.metrics.extractors.published import save_published
from vct.lab.settings.extractors import ClassifierSettings
from vct.lab.settings.params import Params


def extractor(params: Params, name: str) -> None:
    """Write `results/extractors/<name>/`."""
    settings = params.extractor(name)
    torch.set_num_threads(params.runtime.threads)
    weights = extractor_dir(name) / "weights.safetensors"
    if isinstance(settings, ClassifierSettings):
        facts = _train(settings, weights)
        summary = f"accuracy {facts['accuracy']:.4f} on {facts['test_images']} held-out images"
    else:
        facts = _take_over(settings, weights)
        summary = f"the weights of {facts['source']}, sha256 {facts['source_sha256']}"
    write_json(weights.with_name("metrics.json"), facts)
    print(f"{name}: {summary}")


def _train(settings: ClassifierSettings, weights: Path) -> dict[str, Any]:
    data = dataset.load(settings.dataset)
    options = settings.model_dump(exclude={"kind", "dataset"})
    model, accuracy = train_classifier(
        data.train.x, data.train.labels, data.test.x, data.test.labels, **options
    )
    save_classifier(weights, model)
    return {
        "accuracy": accuracy,
        "train_images": len(data.train.x),
        "test_images": len(data.test.x),
    }


def _take_over(settings: Any, weights: Path) -> dict[str, Any]:
    published = find_published(settings)
    save_published(weights, settings.kind, published)
    return {"source": published.source, "source_sha256": published.source_sha256}
