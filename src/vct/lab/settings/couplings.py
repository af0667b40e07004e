"""Section `couplings` of an experiment."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from vct.lab.files.layout import NAME, RunId
from vct.lab.settings.base import (
    Count,
    DottedPath,
    FamilySettings,
    OwnSettings,
    Positive,
    Weight,
    any_of,
    default,
)
from vct.lab.settings.networks import Network, Outputs
from vct.lab.settings.samplers import AnySampler, HeunSettings


class CouplingSettings(FamilySettings):
    """What every coupling may set: its own `optimizer.clip_grad_norm`, in place of the common one.

    The published trainings clip those of variational couplings alone.
    """

    family = "coupling"
    interface = "vct.couplings.base:Coupling"
    aside: ClassVar[tuple[str, ...]] = ("clip_grad_norm",)

    transports: ClassVar[bool] = False
    """Whether it looks at values of data and noise, to plan a transport between them."""

    needs_labels: ClassVar[bool] = False
    """Whether it does nothing of its own in trainings without labels."""

    needs_values: ClassVar[bool] = False
    """Whether it cannot be counted on tensors without values, but for plans of transport."""

    clip_grad_norm: Positive | None = Field(default=None, exclude_if=default(None))

    from_data: ClassVar[bool] = False
    """Whether sampling starts from images to restore."""

    needs_teacher: ClassVar[bool] = False
    """Whether it asks the averaged model at the lower of two levels, and so does nothing where an
    objective has none."""

    needs_generator: ClassVar[bool] = False
    """Whether it asks the averaged model what it makes of noise alone."""

    needs_preparation: ClassVar[bool] = False
    """Whether it makes something before training, which a stage of its own keeps."""

    def prepared_parts(self) -> "list[CouplingSettings]":
        """Of the coupling and those that it is built over, those that make something before
        training."""
        return [each for each in self.parts() if each.needs_preparation or each.says_prepares]

    @property
    def says_prepares(self) -> bool:
        """Whether params.yaml says that it does, of a user's class."""
        return False

    def prepared_numbers(self, size: int) -> int:
        """How many numbers it prepares, for samples of `size` of them; without what is little."""
        return 0

    def parts(self) -> "Iterator[CouplingSettings]":
        """The coupling, and those that it is built over."""
        yield self
        base = getattr(self, "base", None)
        if base is not None:
            yield from base.parts()

    def taught(self) -> "ReflowSettings | None":
        """The part of it that takes its pairs from another run, if any."""
        return next((part for part in self.parts() if isinstance(part, ReflowSettings)), None)

    def teacher_run(self, seed: int) -> RunId | None:
        """The run whose flow makes the pairs of a run with this seed, if one does."""
        taught = self.taught()
        return None if taught is None else RunId.parse(f"{taught.teacher}/seed{seed}")

    def calls(self) -> float:
        """Calls of the averaged network that its plans take for each sample."""
        return 0


class IndependentSettings(CouplingSettings):
    """z = eps."""

    target = "vct.couplings.independent:Independent"

    kind: Literal["independent"]


class PlanSettings(CouplingSettings):
    """A plan of the global batch, of what each device holds, or of `pool` batches together."""

    transports = True

    over: Annotated[Literal["batch", "device"], Field(exclude_if=default("batch"))] = "batch"
    pool: Annotated[int, Field(ge=1, le=10_000, exclude_if=default(1))] = 1

    @model_validator(mode="after")
    def _pools_batches(self) -> "PlanSettings":
        if self.pool > 1 and self.over == "device":
            raise ValueError("pool: a pool is of whole batches; remove it, or over: device")
        return self


class MinibatchOTSettings(PlanSettings):
    """Optimal transport between the images and the noise of a batch, or of `pool` batches."""

    target = "vct.couplings.minibatch_ot:MinibatchOT"
    label = "minibatch OT"

    kind: Literal["ot"]


class ConditionalOTSettings(PlanSettings):
    """Optimal transport in which noise that changes its class has a price (arXiv 2503.10636).

    `weight` is that price, in the unit of `sinkhorn`'s entropy; only for conditional trainings.
    """

    target = "vct.couplings.conditional_ot:ConditionalOT"
    label = "conditional OT"
    needs_labels = True

    kind: Literal["c2ot"]
    weight: Weight = 1.0


class NearestNoiseSettings(CouplingSettings):
    """The nearest of `k` noises for each image (arXiv 2505.18521)."""

    target = "vct.couplings.nearest_noise:NearestNoise"
    label = "nearest noise"
    needs_values = True

    kind: Literal["knn"]
    k: Annotated[int, Field(ge=2, le=10_000)] = 4


class WeightedSettings(CouplingSettings):
    """Independent noise, of which pairs count the more, the nearer they are (arXiv 2507.22270)."""

    target = "vct.couplings.weighted:Weighted"
    label = "weighted pairs"

    kind: Literal["weighted"]
    # Below it, one pair in 50,000 or fewer is left.
    entropy: Annotated[float, Field(ge=0.3, le=1e3)] = 1.0


class ModelOTSettings(CouplingSettings):
    """Optimal transport between the images and what the averaged model makes of the noise, over
    `pool` batches, each of whose noises is used so many times."""

    target = "vct.couplings.model_ot:ModelOT"
    label = "model OT"
    transports = True
    needs_generator = True

    kind: Literal["model_ot"]
    pool: Annotated[int, Field(ge=1, le=10_000)] = 16
    uses: Annotated[int, Field(ge=1, le=10_000, exclude_if=default(1))] = 1

    @model_validator(mode="after")
    def _uses_no_noise_twice_in_a_batch(self) -> "ModelOTSettings":
        if self.pool % self.uses:
            raise ValueError(
                f"uses: {self.uses} uses of each noise in a pool of {self.pool} batches would give "
                "a batch the same noise twice; choose a divisor of pool"
            )
        return self

    def calls(self) -> float:
        return 1 / self.uses


class LoomSettings(CouplingSettings):
    """Transport that looks out of the minibatch: each image keeps so many noises, and swaps them
    within batches (arXiv 2603.15279)."""

    target = "vct.couplings.loom:Loom"
    label = "LOOM"
    transports = True

    kind: Literal["loom"]
    kept: Annotated[int, Field(ge=1, le=10_000)] = 4


class ReflowSettings(CouplingSettings):
    """Noise, and what a trained flow or diffusion network makes of it (arXiv 2209.03003).

    `teacher` names the coupling of another experiment, of which each run takes the run of its seed;
    the `sampler` makes the pairs of its final weights.
    """

    target = "vct.couplings.reflow:Reflow"
    label = "reflow"
    aside: ClassVar[tuple[str, ...]] = ("clip_grad_norm", "teacher", "sampler")
    needs_values = True
    needs_preparation = True

    kind: Literal["reflow"]
    teacher: Annotated[str, Field(pattern=rf"^{NAME.pattern}/{NAME.pattern}$")]
    sampler: AnySampler = HeunSettings(kind="heun")
    # Of which a draw of 24 bits reaches each.
    pairs: Annotated[int, Field(ge=1, le=2**24)] = 50_000

    def prepared_numbers(self, size: int) -> int:
        return 2 * self.pairs * size


class SinkhornSettings(PlanSettings):
    """Entropic transport between the images and the noise of a batch, or of `pool` batches."""

    target = "vct.couplings.sinkhorn:Sinkhorn"
    label = "minibatch OT (Sinkhorn)"

    kind: Literal["sinkhorn"]
    entropy: Annotated[float, Field(ge=1e-3, le=1e3)] = 0.1
    iterations: Count = 100


class SemidiscreteSettings(CouplingSettings):
    """Optimal transport from N(0, I) to the whole training set (arXiv 2509.25519).

    Its potentials are solved for by so many steps of stochastic ascent with so many draws of noise.
    With an `entropy`, which means what it means in `sinkhorn`, it is the entropic plan.
    """

    target = "vct.couplings.semidiscrete:Semidiscrete"
    label = "semidiscrete OT"
    transports = True
    needs_preparation = True

    kind: Literal["semidiscrete"]
    iterations: Count = 1000
    draws: Count = 2048
    entropy: Annotated[float, Field(ge=0, le=1e3, exclude_if=default(0.0))] = 0.0


class ConditionalSettings(CouplingSettings):
    """Noise around a degraded image, for images to restore (arXiv 2310.03725).

    Blocks of `factor` by `factor` pixels are known by their mean, a central square with `hidden` of
    the image's side is not known, and noise of deviation `std` is on what is.
    """

    target = "vct.couplings.conditional:Conditional"
    label = "restoring held-out images"
    from_data = True

    kind: Literal["conditional"]
    factor: Annotated[int, Field(ge=1, le=1024)] = 1
    hidden: Annotated[float, Field(ge=0, lt=1)] = 0.0
    std: Annotated[float, Field(ge=1e-3, le=100)] = 0.25

    @model_validator(mode="after")
    def _degrades(self) -> "ConditionalSettings":
        if self.factor == 1 and not self.hidden:
            raise ValueError("nothing is degraded; set factor, or hidden")
        return self


class OwnCouplingSettings(OwnSettings, CouplingSettings):
    """A user's coupling, called as Class(**options); also with shape, sigma_data, t_max, classes,
    count (of training points), points (which gives them) or noise_seed (that of the run) where its
    signature takes them. One that defines `prepare` says `prepares: true`."""

    kind: DottedPath
    prepares: bool = Field(default=False, exclude_if=default(False))

    @property
    def says_prepares(self) -> bool:
        return self.prepares


if TYPE_CHECKING:
    NoiseCoupling = CouplingSettings
else:
    NoiseCoupling = any_of(CouplingSettings)


def _check_clip(base: CouplingSettings) -> None:
    if base.clip_grad_norm is not None:
        raise ValueError(
            "base.clip_grad_norm would do nothing; set clip_grad_norm beside base instead"
        )


class VariationalSettings(CouplingSettings):
    """An encoder gives the noise of each image (VCT, Section 4).

    It is held near to N(0, I), or near to a Gaussian with the running `moments` of the noise, which
    a share of N(0, I) anchors. The noise that it moves and scales is independent, or that of a
    `base`.
    """

    target = "vct.couplings.variational:Variational"

    kind: Literal["variational"]
    kl_weight: Weight
    encoder: Annotated[Network, Outputs(2)]
    initial_std: Annotated[float, Field(ge=1e-3, le=100)] = 1.0
    prior: Annotated[Literal["standard", "moments"], Field(exclude_if=default("standard"))] = (
        "standard"
    )
    anchor: Annotated[float, Field(ge=1e-3, le=1, exclude_if=default(0.1))] = 0.1

    base: Annotated[NoiseCoupling | None, Field(exclude_if=default(None))] = None

    @model_validator(mode="after")
    def _fits_base(self) -> "VariationalSettings":
        if self.base is None:
            return self
        if self.base.member == "loom":
            raise ValueError("base: the noises that images keep cannot be moved; choose another")
        if getattr(self.base, "over", "batch") == "device":
            raise ValueError("base.over: an encoder learns from parts of a batch; choose batch")
        if self.base.from_data:
            raise ValueError("base: an encoder would move images to restore; choose another")
        if self.prior == "moments":
            raise ValueError("prior: moments are those of independent noise; remove it, or base")
        _check_clip(self.base)
        return self

    @model_validator(mode="after")
    def _anchors_moments(self) -> "VariationalSettings":
        if self.prior == "standard" and "anchor" in self.model_fields_set:
            raise ValueError("anchor: is of prior: moments; remove it, or set prior")
        return self


if TYPE_CHECKING:
    BaseCoupling = CouplingSettings
else:
    BaseCoupling = any_of(CouplingSettings)


class GeneratorAugmentedSettings(CouplingSettings):
    """Some data points are replaced by the averaged model's (GC, arXiv 2406.09570)."""

    target = "vct.couplings.generator_augmented:GeneratorAugmented"
    label = "generator-augmented"
    needs_teacher = True

    kind: Literal["generator_augmented"]
    base: BaseCoupling = IndependentSettings(kind="independent")
    mu: Annotated[float, Field(gt=0, le=1)] = 0.5
    noise: Literal["keep", "recouple"] = "keep"

    @model_validator(mode="after")
    def _fits_base(self) -> "GeneratorAugmentedSettings":
        if self.noise == "recouple" and getattr(self.base, "base", None) is not None:
            raise ValueError(
                "noise: replaced points would get noise that was paired with others; choose "
                "'keep', or a base without a base"
            )
        if self.noise == "recouple" and getattr(self.base, "pool", 1) > 1:
            raise ValueError(
                "noise: replaced points cannot be paired anew over several batches; choose 'keep', "
                "or a base without pool"
            )
        if self.noise == "recouple" and self.base.member == "loom":
            raise ValueError(
                "noise: replaced points would get the noises that images keep; choose 'keep'"
            )
        if self.noise == "recouple" and self.base.member in ("semidiscrete", "reflow"):
            raise ValueError(
                f"noise: {self.base.member} chooses the data points, and would undo the "
                "replacement; choose 'keep'"
            )
        _check_clip(self.base)
        return self


if TYPE_CHECKING:
    Coupling = CouplingSettings
else:
    Coupling = any_of(CouplingSettings)
