"""What surrounds the networks: plans, bookkeeping, data, samples and scores."""

import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.subjects import SUBJECTS, Subject, images, trainer
from bench.timing import medians, share
from vct import rng
from vct.couplings.independent import Independent
from vct.couplings.minibatch_ot import MinibatchOT, assignment
from vct.lab import build
from vct.lab.data import dataset
from vct.lab.data.batches import Batches
from vct.lab.metrics.extractors.base import Extractor
from vct.lab.metrics.extractors.classifier import FEATURES, Classifier
from vct.lab.metrics.features import Features
from vct.lab.metrics.frechet import Frechet
from vct.lab.metrics.statistics import compute
from vct.lab.sampling.drawing import Drawing, bounds, standard
from vct.lab.settings.sample import SampleSettings
from vct.lab.training import checkpoint

CPU = torch.device("cpu")
HEAD = "| what | found | target |\n|---|---|---|"
LARGE = Subject(3, 32, 16, 8, (1, 2), 512)


def plans() -> list[str]:
    """Transport of 512 and 4,096 pairs of 3,072 dimensions beside a step of 512 images."""
    with tempfile.TemporaryDirectory() as folder:
        step = medians({"": trainer(LARGE, Path(folder), {"kind": "independent"})._step}, 1)[""]
    x, eps = torch.randn(2, 4096, *LARGE.shape)
    small = medians({"": lambda _: MinibatchOT().couple(x[:512], eps[:512])}, 5)[""]
    large = medians({"": lambda _: assignment(x, eps)}, 1)[""] / 8
    rows = [
        ("plan of OT, batch of 512, of a step", share(small / step), "under 3 %"),
        (
            "the same that a training waits for, with a core to spare",
            share(waited(step)),
            "under 3 %",
        ),
        ("plan of a pool of 4,096, each 8 steps, of a step", share(large / step), "under 10 %"),
    ]
    return _table(rows)


def waited(step: float) -> float:
    """Share of a step for which it waits for its plan, where plans are made ahead."""
    with tempfile.TemporaryDirectory() as folder:
        made = trainer(LARGE, Path(folder), {"kind": "ot"}, ahead=2)
        plans = made.loss._plans
        assert plans is not None
        plans.at(0)
        waits = []
        for index in range(1, 4):
            time.sleep(min(step, 5.0))
            begin = time.perf_counter()
            plans.at(index)
            waits.append(time.perf_counter() - begin)
    return sorted(waits)[1] / step


def bookkeeping() -> list[str]:
    """Averages, metrics, log, progress and checkpoints beside a step, at 32 px."""
    subject = SUBJECTS["32 px"]
    with tempfile.TemporaryDirectory() as folder:
        made = trainer(subject, Path(folder), {"kind": "independent"})
        step = medians({"": made._step}, 3)[""]
        loss, levels = made.loss.backward(9, made.batches.at(9))
        norm = torch.ones(())

        def each(number: int) -> None:
            made.ema.update(number + 1)
            wrong = made.watch.add(number, loss, norm, levels.t)
            made.metrics.add([loss.total, loss.consistency, loss.kl, norm, wrong, wrong])

        def save(number: int) -> None:
            checkpoint.save(Path(folder), number, made.identity, made._state())

        often = medians({"": each}, 5, 20)[""]
        rare = medians({"": save}, 3)[""] / 1000
    found = share((often + rare) / step)
    return _table([("average, metrics, a checkpoint each 1,000 steps, of a step", found, "2 %")])


def waiting() -> list[str]:
    """How long a step at 64 px waits for its batch, which comes from memory maps."""
    subject = Subject(3, 64, 16, 8, (1, 2), 64)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        source = images(subject.shape, 4096)
        made = (source.train.x, source.train.labels), (source.test.x, source.test.labels)
        dataset.write("random", _source(made), {}, root)
        data = dataset.load("random", root)
        step = medians({"": trainer(subject, root, {"kind": "independent"}, data=data)._step}, 1)[
            ""
        ]
        batches = Batches(data, subject.batch, 0, CPU, ahead=2)
        batches.at(0)
        waits = []
        for number in range(1, 9):
            time.sleep(min(step, 1.0))
            begin = time.perf_counter()
            batches.at(number)
            waits.append(time.perf_counter() - begin)
    found = share(sorted(waits)[4] / step)
    return _table([("waiting for a batch at 64 px, of a step", found, "under 1 %")])


def _source(made: Any) -> Any:
    from vct.lab.data.sources.base import Source, Split

    train, test = (Split(*each) for each in made)
    return Source(train, test, 10)


def sampling(count: int = 1000) -> list[str]:
    """Samples of one step and their score, beside the bare passes of both networks."""
    subject = Subject(1, 14, 32, 8, (1, 2), 64)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        made = trainer(subject, Path(folder), {"kind": "independent"})
    data = images(subject.shape, count)
    f = build.consistency_function(made.train, made.ema.module.network)
    sample = SampleSettings(num_samples=count, batch_size=250)
    sampler = build.sampler(sample, made.train.t_max, bounds(data, CPU))
    starts = {"standard": standard}
    drawing = Drawing(f, Independent(), sampler, data, sample, 64, starts, 0, CPU)
    classifier = Classifier(subject.shape, 10).eval()
    extractor = Extractor(FEATURES, subject.shape, lambda: _Network(classifier), on_cpu=True)
    features = Features(extractor)
    moments = compute("moments", data.train.x, features)
    metric = Frechet(data.train.x, "bench", features, lambda _: moments)
    keep: dict[str, Any] = {"x": data.train.x}

    def draw(_: int) -> None:
        keep["x"] = drawing.all_results()["steps1"]

    @torch.no_grad()
    def bare(_: int) -> None:
        noise, t = torch.randn(250, *subject.shape), torch.full((250,), made.train.t_max)
        for _ in range(count // 250):
            f.network(noise, torch.log(t) / 4, None)

    @torch.no_grad()
    def looked_at(_: int) -> None:
        rows = torch.from_numpy(data.train.x)
        for start in range(0, count, 500):
            classifier.features(rows[start : start + 500])

    def score(_: int) -> None:
        metric.compute(keep["x"])

    times = medians({"draw": draw, "score": score, "bare": bare, "looked": looked_at}, 2)
    both = (times["draw"] + times["score"]) / (times["bare"] + times["looked"]) - 1
    words = f"samples of one step and their score above bare passes ({count:,} images, 14 px)"
    return _table([(words, share(both), "within 10 %")])


class _Network(nn.Module):
    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier.features(x)


def scaling() -> list[str]:
    """How times grow: samples of a step, width, dimension and size of a plan."""
    lines = ["| batch (8 px, 16 channels) | time of a sample, of that at 64 |", "|---|---|"]
    lines += _relative({size: _per_sample(size, 16) for size in (32, 64, 256, 1024, 2048)}, 64)
    lines += ["", "| channels (8 px, batch of 64) | time of a step, of that with 16 |", "|---|---|"]
    lines += _relative({width: _per_sample(64, width) for width in (8, 16, 32, 64)}, 16)
    lines += ["", "| pairs, dimensions | time of an exact plan for a pair, of that of 128 in 64 |"]
    lines += ["|---|---|"]
    sizes = [(128, 64), (512, 64), (512, 784), (512, 3072), (1024, 3072), (2048, 3072)]
    lines += _relative({f"{n:,}, {d:,}": _plan(n, d) for n, d in sizes}, "128, 64")
    return lines


def _per_sample(batch: int, width: int) -> float:
    subject = Subject(1, 8, width, 8, (1, 1), batch)
    with tempfile.TemporaryDirectory() as folder:
        made = trainer(subject, Path(folder), {"kind": "independent"}, dropout=0.0)
        return medians({"": made._step}, 3, max(1, 256 // batch))[""] / batch


def _plan(count: int, dimension: int) -> float:
    draw = rng.generator("bench", count)
    x, eps = torch.randn(2, count, dimension, generator=draw)
    rounds = max(1, math.ceil(512 / count))
    plan: Callable[[int], Any] = lambda _: assignment(x, eps)  # noqa: E731
    return medians({"": plan}, 3, rounds)[""] / count


def _relative(times: dict[Any, float], base: Any) -> list[str]:
    return [f"| {name} | {seconds / times[base]:.2f} |" for name, seconds in times.items()]


def _table(rows: list[tuple[str, str, str]]) -> list[str]:
    return [HEAD, *(f"| {' | '.join(row)} |" for row in rows)]
