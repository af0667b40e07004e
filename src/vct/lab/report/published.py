"""What an experiment does otherwise than the published ones, and what those scored.

Published: VCT (arXiv 2502.18197) and its code, iCT and ECM on images. What a setting holds is
compared with the setting, so that the line under a table cannot go stale; the rest is in words.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from vct.lab.records import ProtocolRecord
from vct.lab.settings.couplings import CouplingSettings
from vct.lab.settings.data import DatasetSettings, ImageFolderSettings, TorchvisionSettings
from vct.lab.settings.experiment import ExperimentSettings

Values = Mapping[str, float | str]
"""By what a reader calls them."""
_CLIP, _STD, _POOL = "clipping of variational gradients", "std of new encoders", "pool of OT"
_ALL: Values = {"sigma_data": 0.5, _CLIP: 200.0, _STD: 0.6931, _POOL: 500}
_SMALL: Values = {
    **{"P_mean": -1.1, "P_std": 2.0, "optimiser": "radam at 0.0001", "EMA": "constant 0.9999"},
    **{"mid time": "0.821", **_ALL},
}
PUBLISHED: Mapping[str, Values] = {
    "ict": {
        **{"s0": 10, "s1": 1280, "distance": "per-element", "dropout": 0.3, "kl_weight": 30.0},
        **_SMALL,
    },
    "ecm": {
        **{"q": 2.0, "stages": 8, "c": 0.0, "weight": "consistency"},
        **{"dropout": 0.2, "kl_weight": 10.0, **_SMALL},
    },
    "ecm, conditional": {  # ImageNet
        **{"q": 4.0, "stages": 4, "c": 0.06, "weight": "edm", "dropout": 0.4, "kl_weight": 90.0},
        **{"P_mean": -0.8, "P_std": 1.6, "optimiser": "adam at 0.001, inverse_sqrt"},
        **{"EMA": "power 0.1", "mid time": "1.526", **_ALL},
    },
}
"""By objective."""


IMAGES = {"CIFAR-10": 50_000, "ImageNet 64": 1_281_167}
"""Training images of the data sets of published scores."""


@dataclass(frozen=True)
class Benchmark:
    """The data set of published scores that settings describe.

    Args:
        images: as many are trained on if it is that one; else it only looks like it.
    """

    name: str
    images: int


@dataclass(frozen=True)
class PublishedScore:
    """FID that was published of 50,000 samples against the training images, by key of samples.

    Args:
        name: of the method, as its paper calls it.
        objective, coupling: names of what is the same here; None where the paper gives its best.
        source: where it was read.
    """

    benchmark: str
    name: str
    objective: str | None
    coupling: str
    scores: Mapping[str, float]
    source: str


_ICT, _ECM, _VCT = "arXiv 2310.14189", "arXiv 2406.14548", "arXiv 2502.18197"
SCORES = (
    PublishedScore("CIFAR-10", "iCT", "ict", "independent", {"steps1": 2.83, "steps2": 2.46}, _ICT),
    PublishedScore("CIFAR-10", "ECM", "ecm", "independent", {"steps1": 3.60, "steps2": 2.11}, _ECM),
    PublishedScore("CIFAR-10", "VCT, its best", None, "variational", {"steps2": 2.02}, _VCT),
    PublishedScore(
        "ImageNet 64", "ECM, EDM2-S", "ecm", "independent", {"steps1": 5.51, "steps2": 3.18}, _ECM
    ),
    PublishedScore("ImageNet 64", "VCT, its best", None, "variational", {"steps2": 3.07}, _VCT),
)
_SAMPLES, _EXTRACTOR = 50_000, "inception"


def benchmark(dataset: DatasetSettings, conditional: bool) -> Benchmark | None:
    """The data set of published scores that these settings can be of, if any: those of CIFAR-10
    are of models without labels, those of ImageNet of class-conditional ones."""
    if getattr(dataset, "limit", None) is not None:  # a trial
        return None
    if isinstance(dataset, TorchvisionSettings) and dataset.name == "cifar10":
        return None if conditional else Benchmark("CIFAR-10", IMAGES["CIFAR-10"])
    if isinstance(dataset, ImageFolderSettings) and (dataset.size, dataset.classes) == (64, 1000):
        held_out = 0 if dataset.test == "own" else dataset.test
        images = IMAGES["ImageNet 64"] - held_out
        return Benchmark("ImageNet 64", images) if conditional else None
    return None


def scores(
    data: Benchmark | None,
    protocol: ProtocolRecord,
    objectives: Sequence[str],
    couplings: Sequence[str],
) -> list[PublishedScore]:
    """What was published under a protocol, of the objectives and couplings of a block's rows."""
    judge = protocol.extractor
    if judge is None or (judge.kind, protocol.num_samples) != (_EXTRACTOR, _SAMPLES):
        return []
    if data is None or protocol.reference.size != data.images:
        return []
    return [
        each
        for each in SCORES
        if each.benchmark == data.name
        and each.objective in (None, *objectives)
        and each.coupling in couplings
    ]


def departures(experiment: ExperimentSettings) -> tuple[str, ...]:
    """What is otherwise, each with the published in brackets: `s1 20 (1280)`.

    Empty for an objective that was not published with VCT.
    """
    objective = experiment.train.objective.member
    kind = f"{objective}, conditional" if experiment.train.conditional else objective
    published = PUBLISHED.get(kind) or PUBLISHED.get(objective)
    if published is None:
        return ()
    here = _settings(experiment)
    numbers = (
        f"{name} {_text(here[name])} ({_text(value)})"
        for name, value in published.items()
        if name in here and here[name] != value
    )
    return (*numbers, *_in_words(experiment))


def sentence(departures: Mapping[str, Sequence[str]]) -> str:
    """One sentence on the experiments of a block, what they share first; empty if there is none."""
    every = dict.fromkeys(entry for entries in departures.values() for entry in entries)
    groups: dict[tuple[str, ...], list[str]] = {}
    for entry in every:
        names = tuple(name for name, entries in departures.items() if entry in entries)
        groups.setdefault(names, []).append(entry)
    parts = [
        ("" if len(names) == len(departures) else f"{', '.join(names)}: ") + ", ".join(entries)
        for names, entries in sorted(groups.items(), key=lambda group: -len(group[0]))
    ]
    return f"Otherwise than published (in brackets): {'; '.join(parts)}." if parts else ""


def _settings(experiment: ExperimentSettings) -> dict[str, float | str]:
    """Values that may have been published, of the parts that the experiment has."""
    train, sample, optimizer = experiment.train, experiment.sample, experiment.train.optimizer
    schedule = "" if optimizer.schedule == "constant" else f", {optimizer.schedule}"
    objective = train.objective.model_dump(mode="json").items()
    found: dict[str, float | str] = {
        **{name.replace("p_", "P_"): value for name, value in objective},
        "sigma_data": train.sigma_data,
        "optimiser": f"{optimizer.member} at {optimizer.learning_rate:g}{schedule}",
        "EMA": train.ema.described(sample.ema_width),
        "dropout": getattr(train.network, "dropout", 0.0),
    }
    if sample.sampler is None:
        found["mid time"] = ", ".join(f"{time:g}" for time in sample.mid_times) or "none"
    variational: dict[str, set[float | str]] = {}
    for row, part in _parts(experiment):
        if part.transports and sample.mid_times:
            found[_POOL] = experiment.pool
        if hasattr(part, "kl_weight"):
            clip = row.clip_grad_norm or optimizer.clip_grad_norm or "none"
            values = part.kl_weight, getattr(part, "initial_std", "its own"), clip
            for name, value in zip(("kl_weight", _STD, _CLIP), values, strict=True):
                variational.setdefault(name, set()).add(value)
    for name, each in variational.items():
        found[name] = each.pop() if len(each) == 1 else " and ".join(sorted(map(_text, each)))
    return found


def _in_words(experiment: ExperimentSettings) -> Iterator[str]:
    """What no setting holds."""
    train, parts = experiment.train, [part for _, part in _parts(experiment)]
    if any(getattr(part, "over", None) == "batch" for part in parts):
        yield f"OT over all {train.batch_size} of a batch (per device)"
    if pools := sorted({pool for part in parts if (pool := getattr(part, "pool", 1)) > 1}):
        yield f"OT over pools of {', '.join(map(str, pools))} batches (one)"
    if any(getattr(part, "prior", None) == "moments" for part in parts):
        yield "a variational coupling held near its own moments (N(0, I))"
    if any(part.member == "model_ot" for part in parts):
        yield "rows of transport to what the model makes (a coupling of this project)"
    if any(part.member == "generator_augmented" for part in parts):
        yield "generator-augmented rows with these settings (arXiv 2406.09570 has its own)"
    if experiment.sample.priors != ["standard"]:
        yield "rows of a fitted prior or the aggregate posterior (N(0, I))"
    if train.ema.member in ("power", "post_hoc"):
        yield "old weights count beta in the EMA, as in EDM2 (1 - beta: nearly the last weights)"
    if train.conditional:
        shares = {"in_turn": "in turn", "as_data": "in the data's shares"}
        yield f"classes {shares[experiment.sample.classes]} (at random)"
    if experiment.score.form == "images":
        yield "samples rounded to 8 bits (truncated)"
        yield "scored by torch-fidelity (torchmetrics)"
    yield "the last weights scored (the best of a training)"


def _parts(experiment: ExperimentSettings) -> Iterator[tuple[CouplingSettings, CouplingSettings]]:
    """The coupling of each row, with itself and with each that it is built over."""
    for row in (experiment.couplings[name] for name in experiment.variants):
        for part in row.parts():
            yield row, part


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"
