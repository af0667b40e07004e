"""Every JSON file of the project, typed: only here are their keys spelled.

`read(RunRecord, path)` gives a record, or one sentence on what is wrong with the file; `write` is
its inverse. A number that is not finite is `null` in a file and None in a record.
"""

import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    RootModel,
    Tag,
    ValidationError,
    model_validator,
)

from vct.lab.errors import UserError
from vct.lab.files.layout import NAME, RunId
from vct.lab.files.whole import damaged, read_text, write_json

Name = Annotated[str, Field(pattern=rf"^{NAME.pattern}$")]
"""Becomes a part of a path."""
Number = int | float | None
Count = Annotated[int, Field(ge=0, lt=2**53)]
Options = dict[str, int | float | str]
"""Of a user's class, or of what is computed beside a distance."""


def _none(value: Any) -> bool:
    return value is None


R = TypeVar("R", bound=BaseModel)


class Record(BaseModel):
    """The content of a JSON file, or a part of one."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def content(self) -> dict[str, Any]:
        """As JSON holds it, keys in the order of the fields."""
        return self.model_dump(mode="json")

    def text(self, sort_keys: bool = False) -> str:
        """As JSON on one line, for a place inside another file; `parse` is its inverse."""
        return json.dumps(self.content(), sort_keys=sort_keys)


def optional(**options: Any) -> Any:
    """A field that is left out of the file where it is None."""
    return Field(default=None, exclude_if=_none, **options)


def read(kind: type[R], path: str | Path) -> R:
    """The record in a JSON file.

    Raises:
        UserError: if it is missing or holds something else; the sentence names the first wrong key.
    """
    try:
        return kind.model_validate_json(read_text(path))
    except ValidationError as error:
        raise damaged(path, problem(error)) from None


def parse(kind: type[R], text: str | bytes, place: str, remedy: str) -> R:
    """The record in a text that stands inside another file.

    Args:
        place: where it stands, for the message.
        remedy: what the user can do about it.

    Raises:
        UserError: if it is no such record.
    """
    try:
        return kind.model_validate_json(text, strict=True)
    except ValidationError:
        raise UserError(f"{place} does not hold a whole {kind.__name__}; {remedy}") from None


def write(record: BaseModel, path: str | Path) -> None:
    """Write a record atomically, as indented JSON."""
    write_json(path, record.model_dump(mode="json", by_alias=True))


def problem(error: ValidationError) -> str:
    """What is wrong, with the key where there is one: `schedules.steps1 should be a valid list`."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"] if not str(part).startswith("function-"))
    what = first["msg"].removeprefix("Input ").removeprefix("Value error, ")
    what = "is missing" if first["type"] == "missing" else what
    return f"{key[:80]} {what[0].lower()}{what[1:]}".strip()


# --- data ------------------------------------------------------------------------------------


class Modes(Record):
    """The modes of a mixture of isotropic Gaussians: K means of D numbers, a common deviation, and
    the share of each; equal shares where none are given."""

    means: Annotated[list[list[float]], Field(min_length=1)]
    std: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    shares: list[Annotated[float, Field(gt=0)]] | None = optional()

    @model_validator(mode="after")
    def _shares_are_of_all(self) -> "Modes":
        shares = self.shares
        if shares and (len(shares) != len(self.means) or abs(math.fsum(shares) - 1) > 1e-6):
            raise ValueError("modes.shares should have a number for each mean, which sum to 1")
        return self


class LeftOutRecord(Record):
    """Files beside the images that were not taken: how many, and what some are called."""

    count: Count
    names: list[str]


class DatasetRecord(Record):
    """`data/NAME/meta.json`: what the arrays beside it are; a source may say more.

    `own_code` is the hash of a user's source.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    format: Literal[1]
    name: Name
    source: dict[str, Any]
    sha256: str
    train: Count
    test: Count
    shape: Annotated[list[Count], Field(min_length=3, max_length=3)]
    dtype: Literal["uint8", "float32"]
    classes: Annotated[int, Field(ge=0, lt=2**31)]
    own_code: dict[str, str] | None = optional()
    modes: Modes | None = optional()
    left_out: LeftOutRecord | None = optional()

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, where the source gave each one."""
        names = (self.model_extra or {}).get("class_names")
        if not isinstance(names, list) or len(names) != self.classes:
            return []
        return [str(name) for name in names]

    @model_validator(mode="after")
    def _modes_are_samples(self) -> "DatasetRecord":
        size = math.prod(self.shape)
        if self.modes and any(len(mean) != size for mean in self.modes.means):
            raise ValueError(f"modes.means should have {size} numbers each, as samples have")
        return self


class HashRecord(Record):
    """`state/data/NAME/verified.json`: size, inode and times of files whose content was hashed."""

    sha256: str
    files: dict[str, list[int]]


# --- a run -----------------------------------------------------------------------------------


class CodeRecord(Record):
    """Version of the package, and of what a training computes."""

    vct: str
    training: int


class DivisionRecord(Record):
    """How batches were divided, where they were."""

    devices: int
    micro_batch: int | None


class RunRecord(Record):
    """`config.json` of a run: what was trained, of what, and the hashes of what came out.

    `initial_weights_license` is that of the published weights that it goes back to, if any;
    `teacher_sha256` the hash of the weights that made its pairs, `prepared_sha256` that of the file
    `prepared.safetensors` beside it, where the coupling has one.
    """

    run: str
    settings: dict[str, Any]
    settings_sha256: str
    data_sha256: str
    code: CodeRecord
    division: DivisionRecord | None = optional()
    summary: dict[str, Number]
    initial_weights_sha256: str | None = optional()
    initial_weights_license: str | None = optional()
    teacher_sha256: str | None = optional()
    prepared_sha256: str | None = optional()
    own_code: dict[str, str] | None = optional()
    files: dict[str, str] | None = optional()

    @property
    def id(self) -> RunId:
        """The run."""
        return RunId.parse(self.run)

    @property
    def dataset(self) -> str:
        """Name of the data that were trained on."""
        return str(self.settings["train"]["dataset"])

    @property
    def conditional(self) -> bool:
        """Whether it was trained with labels."""
        return bool(self.settings["train"]["conditional"])

    @property
    def origin(self) -> tuple[Any, ...]:
        """All that decides what a training makes: two of the same origin make the same."""
        given = (self.initial_weights_sha256, self.teacher_sha256, self.prepared_sha256)
        made = (self.settings_sha256, self.data_sha256, self.code.training, self.own_code)
        return (self.run, *made, *given)


class WeightsRecord(Record):
    """The metadata of `model.safetensors`: whose weights these are."""

    run: str
    settings_sha256: str


class CheckpointHeader(Record):
    """The second line of a checkpoint: after which step it was written, and what it belongs to.

    `settings` are those of the run, with the hashes of initial weights, teachers, what was prepared
    and own classes.
    """

    format: Literal[3]
    step: Count
    settings: dict[str, Any]
    data_sha256: str
    training_version: int
    seed: int


class LogRow(Record):
    """A line of `state/<run>/log.jsonl`: means over the steps since the last one.

    `<name>_max` are the largest, `time` is in milliseconds since 1970. A number that is not finite
    stays what it is: NaN and infinity are spelled as Python does.
    """

    step: Count
    loss: float
    consistency_loss: float
    kl: float
    grad_norm: float
    learning_rate: float
    grid_points: int
    nonfinite_fraction: float
    clipped_fraction: float
    loss_max: float
    grad_norm_max: float
    samples_per_s: float
    time: int


class StartedRecord(Record):
    """`state/<run>/started.json`: what training was started with, for whoever follows its log.

    Args:
        config: what `config.json` will hold, as far as it is known before the first step.
        time: of the first start, in milliseconds since 1970; going on after a kill keeps it.
    """

    config: RunRecord
    time: Count


class SampleRecord(Record):
    """The entry `record` of `samples.npz`: what the samples were drawn with and from.

    `priors` are those that sampling started from, where they are more than N(0, I); `own_code` the
    hash of the user's sampler.
    """

    version: int
    settings: dict[str, Any]
    data_sha256: str
    files: dict[str, str]
    priors: list[str] | None = optional()
    own_code: dict[str, str] | None = optional()


class PreparedRecord(Record):
    """In `prepared.safetensors` of a run: all that decides what its coupling prepared.

    Args:
        settings_sha256: of those that it depends on.
        seed: of the run, where it depends on that.
        teacher_sha256: of the weights whose flow made it, if any.
        license: of the published weights that these go back to, if any.
        own_code: hashes of the user's couplings.
    """

    data_sha256: str
    settings_sha256: str
    seed: int | None = optional()
    teacher_sha256: str | None = optional()
    license: str | None = optional()
    own_code: dict[str, str] | None = optional()
    version: int


class PriorRecord(Record):
    """In `prior.safetensors` of a run: of which data and weights the prior is, by which version."""

    data_sha256: str
    files: dict[str, str]
    ema_width: float | None = optional()
    late_start: float | None = optional()
    version: int


class Curve(Record):
    """A quantity along the level of noise t, rising."""

    t: list[float]
    value: list[Number]


class DiagnosticsRecord(Record):
    """`diagnostics.json` of a run: numbers and curves by name (`vct.lab.report.diagnostics` says
    what they are called), the settings that they were made with, hashes of what was looked at."""

    settings: dict[str, Any]
    data_sha256: str
    files: dict[str, str]
    extractor: "ExtractorRecord | None" = optional()
    own_options: dict[str, Options] | None = optional()
    version: int
    numbers: dict[str, Number]
    curves: dict[str, Curve]

    def is_of(self, protocol: "ProtocolRecord") -> bool:
        """Whether the run that was diagnosed had the samples that a protocol is of, and, as far as
        is known, they were scored alike."""
        samples = self.files.get("samples.npz")
        if samples is None or samples != (protocol.files or {}).get("samples.npz"):
            return False
        if self.extractor is not None and self.extractor != protocol.extractor:
            return False
        scored = protocol.extras or {}
        return all(scored.get(name) == own for name, own in (self.own_options or {}).items())


class Label(Record):
    """What a table calls a number, and whether less or more of it is better, if either.

    `heading` is the label for a narrow place; `decimals` the most that a table shows after the
    point.
    """

    label: str
    lower_is_better: bool = False
    heading: str = ""
    higher_is_better: bool = False
    decimals: int = 3

    @property
    def short(self) -> str:
        """The label for a narrow place."""
        return self.heading or self.label


class ExtractorRecord(Record):
    """A feature extractor in a protocol."""

    name: Name
    kind: str
    sha256: str
    features: Count
    source: str | None = optional()
    source_sha256: str | None = optional()
    options: Options | None = optional()
    own_code: dict[str, str] | None = optional()


class ReferenceRecord(Record):
    """What samples are compared with."""

    dataset: Name
    split: str
    size: Count
    sha256: str


class ProtocolRecord(Record):
    """`protocol.json` of a run: what a reader must know to compare its scores with others.

    `schedules` are the times at which the network was asked, by key of the samples; `labels` what a
    table calls the numbers of a user's metric; `own_code` the hash of the user's sampler; `files`
    the hashes of what was scored and of the scores.
    """

    num_samples: Count
    schedules: dict[str, Annotated[list[float], Field(min_length=1)]]
    ema: str
    sample_seed: int
    noise: str
    classes: str | None = optional()
    pool: Count
    priors: list[str] | None = optional()
    own_code: dict[str, str] | None = optional()
    extractor: ExtractorRecord | None
    reference: ReferenceRecord
    metrics: list[str]
    labels: dict[str, Label] | None = optional()
    extras: dict[str, Options] | None = optional()
    version: int
    sampling_version: int
    files: dict[str, str] | None = optional()


class Scores(RootModel[dict[str, dict[str, Number] | Number]]):
    """`metrics.json` of a run: numbers by key of the samples, and numbers of the run itself."""

    model_config = ConfigDict(frozen=True, strict=True)


class FloorRecord(Record):
    """`floor.json` of an experiment: what held-out real data score."""

    scores: dict[str, Number]
    num_samples: Count
    extractor: ExtractorRecord | None = None
    reference: ReferenceRecord | None = optional()
    extras: dict[str, Options] | None = optional()
    version: int | None = optional()


class ExportRecord(Record):
    """`config.json` of an exported model: what builds and samples it, and where it is from.

    Args:
        run: the record of its training.
        data: what it was trained on; its samples are not here.
        sample: settings that it was sampled with.
        bounds: of points, the least and the greatest value of each coordinate.
        class_counts: training samples of each class, where it was sampled in their shares.
        sampler_code: hash of the user's sampler that it was sampled with.
        protocol, scores: of its samples, where they were scored.
        files: hashes of the files beside it.
    """

    format: Literal["vct-1"] = "vct-1"
    run: RunRecord
    data: DatasetRecord
    sample: dict[str, Any]
    bounds: Annotated[list[list[float]], Field(min_length=2, max_length=2)] | None = None
    class_counts: Annotated[list[Count], Field(min_length=1)] | None = optional()
    sampler_code: dict[str, str] | None = optional()
    protocol: ProtocolRecord | None = None
    scores: dict[str, dict[str, Number] | Number] = {}
    files: dict[str, str]


def _kind(content: Any) -> str:
    return "export" if isinstance(content, dict) and "format" in content else "run"


class ModelRecord(
    RootModel[
        Annotated[
            Annotated[ExportRecord, Tag("export")] | Annotated[RunRecord, Tag("run")],
            Discriminator(_kind),
        ]
    ]
):
    """`config.json` of a trained model: of an export, or of a run."""

    model_config = ConfigDict(frozen=True, strict=True)


# --- extractors and published checkpoints ----------------------------------------------------


class ClassifierRecord(Record):
    """`metrics.json` of a classifier that was trained here."""

    accuracy: float
    train_images: Count
    test_images: Count


class PublishedRecord(Record):
    """`metrics.json` of an extractor with published weights: the file that they are from."""

    source: str
    source_sha256: str


class FactsRecord(RootModel[dict[str, Number | str]]):
    """`metrics.json` of an extractor: a `ClassifierRecord`, `PublishedRecord`, or a user's."""

    model_config = ConfigDict(frozen=True, strict=True)


class KeptExtractorRecord(Record):
    """`kept.json` of a kept extractor: what it was trained with, hashes of its files."""

    settings: dict[str, Any]
    data_sha256: str
    version: int
    files: dict[str, str]


class StatisticsRecord(Record):
    """In a file of `results/statistics/`: what they are of, and of which version of scoring."""

    data_sha256: str
    extractor_sha256: str
    options: Options | None = optional()
    own_code: dict[str, str] | None = optional()
    version: int


EDM_LICENSE = "CC BY-NC-SA 4.0"
"""Under which NVIDIA published the weights of EDM and EDM2: not for commercial use."""


class PretrainedRecord(Record):
    """`pretrained/NAME.json`: the network of an imported checkpoint, as params.yaml takes it."""

    source: str
    sha256: str
    license: str = EDM_LICENSE
    network: dict[str, Any]
    shape: Annotated[list[Count], Field(min_length=3, max_length=3)]
    classes: Count
    sigma_data: float
    parameters: Count
    dtypes: list[str]
    left_out: list[str]


# --- tracking --------------------------------------------------------------------------------


class TrackingReady(Record):
    """`results/tracking.json`: the stage that makes MLflow's database has run."""

    tracking: Literal["ready"] = "ready"


class TrackedRecord(Record):
    """`results/SUITE/tracked.json`: the runs whose scores were sent."""

    runs: list[str]


class StoreRecord(Record):
    """`state/mlflow-ready.json`: which mlflow found the database with which schema.

    So that asking whether it is in order needs no import of mlflow.
    """

    mlflow: str
    revision: str | None


class TrackedRun(Record):
    """`state/<run>/mlflow.json`: the MLflow run of a training.

    Args:
        uri: the store that `mlflow_run` is in, without password.
        mlflow_run: its id.
    """

    uri: str
    mlflow_run: str
